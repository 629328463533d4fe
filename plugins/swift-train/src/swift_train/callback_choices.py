"""The callbacks of a run, from its settings: `--callback NAME:OPTION=VALUE`, in YAML `callbacks: [{name: NAME, option: value}]`.

`eval: {option: value}` is the callback `evaluate`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from swift_data.offered import name_and_options

from swift_core.contract import Choice, Problems, SwiftError, UsageError
from swift_core.options import Invalid
from swift_train.callbacks import PART

if TYPE_CHECKING:
    from swift_core.runs import Draft

_HOW = "Write a name with options after colons, early-stopping:patience=2; in YAML {name: early-stopping, patience: 2}."


_NONE = ("none", "[]", "")  # values of transformers for no tracker
_SHORT = {"comet_ml": "comet", "tb": "tensorboard"}


def prepare(draft: Draft) -> None:
    """Make the callbacks that the options `callbacks` and `report_to` name parts of the run (`VerbSpec.prepare`).

    Raises:
        UsageError: with every callback that does not exist, is named twice, or has invalid options.
    """
    errors: list[SwiftError] = []
    items = [(f"callbacks.{index}", "callbacks", item) for index, item in enumerate(draft.options.pop("callbacks", ()))]
    chosen = {item["name"] if isinstance(item, Mapping) and "name" in item else str(item).partition(":")[0] for _, _, item in items}
    trackers = [name for name in draft.options.pop("report_to", ()) if name.lower() not in _NONE]
    items += [("report_to", "report_to", _SHORT.get(name, name)) for name in trackers if _SHORT.get(name, name) not in chosen]
    if background := draft.options.pop("eval", None):
        items.append(("eval", "eval", {**background, "name": "evaluate"}))
    for path, option, item in items:
        where = draft.settings.where(path if path in draft.settings.lines else option)
        try:
            choice = _chosen(draft, item, where)
        except Invalid as invalid:
            errors += [UsageError(message, code="TRAIN-092", where=f"{where}.{option}") for option, message in invalid.problems]
        except SwiftError as error:
            errors.append(error)
        else:
            if PART + choice.name in draft.parts:
                errors.append(
                    UsageError(f"the callback '{choice.name}' is named twice", code="TRAIN-093", where=where, hint="Name it once.")
                )
            draft.parts[PART + choice.name] = choice
    Problems.raise_any(errors)


def _chosen(draft: Draft, item: Any, where: str) -> Choice:
    parsed = name_and_options(item)
    if parsed is None and isinstance(item, str):
        raise UsageError(f"'{item}' is not a callback with options", code="TRAIN-096", where=where, hint=_HOW)
    if parsed is None:
        raise UsageError(f"{item!r} is not a callback", code="TRAIN-097", where=where, hint=_HOW)
    name, values = parsed
    origin = str(values.pop("from", ""))
    return draft.known.choose("callback", name, values, origin=origin, where=where)
