"""A spelling of another tool stands for nothing."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import Ref, VerbSpec

OPTIONS = Ref("swift_core.options.common:ModelOptions")


@hookimpl
def swift_verbs():
    return [
        VerbSpec(
            name="verb-spelling",
            summary="Does it badly",
            options=OPTIONS,
            job=Ref("faults.verbs:nothing"),
            spellings={"model_path": "modle", "use_hf=true": "hbu=hf"},
        )
    ]
