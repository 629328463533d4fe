"""`swift rollout`: a server for online trainings, with the log-probabilities that they need."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from swift_core.contract import Ref

if TYPE_CHECKING:
    from swift_core.runs import Draft


def prepare(draft: Draft) -> None:
    """Set the options of the engine that online training needs, unless they are given (`VerbSpec.prepare`)."""
    choice, options = draft.parts["backend"], draft.options
    known = Ref(str(choice.options_class)).load().model_fields if choice.options_class else {}
    values = dict(choice.options)
    if values.get("logprobs_mode", "processed_logprobs") in (None, "raw_logprobs"):
        values["logprobs_mode"] = "processed_logprobs"
    if "adapter_folder" in known and not values["adapter_folder"]:
        values["adapter_folder"] = [str(Path(options["folder"] or options["runs"]).resolve())]
    draft.parts["backend"] = replace(choice, options=values)
