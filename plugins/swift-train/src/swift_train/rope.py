"""Rotary position embeddings that are scaled for longer rows than a model was trained on (linear, dynamic NTK, YaRN).

They are fields of the checkpoint's configuration. A trained model is saved with them; an adapter, whose base has others, has them in a file
of its own, with which its base is loaded again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract import UsageError
from swift_core.system import write_json

if TYPE_CHECKING:
    from swift_core.contract import Run

FILE = "base_rope.json"  # beside an adapter
KINDS = ("linear", "dynamic", "yarn")
_HINT = 'Write --rope-scaling yarn with --max-length, or --rope-scaling \'{"rope_type": "yarn", "factor": 4.0}\'.'


def rope_of(run: Run) -> Mapping[str, Any]:
    """Return what the run sets in the configuration of its base: the option, else what its adapters were trained with.

    Raises:
        UsageError: adapters were trained with different positions.
    """
    if asked := run.options.get("rope_scaling"):
        options = run.parts["task"].options if "task" in run.parts else {}
        length = run.options.get("max_model_len") or options.get("max_length")
        return {**({"length": length} if length else {}), **asked}
    stored = [
        json.loads(file.read_text(encoding="utf-8")) for source in run.adapters.values() if (file := Path(source.path) / FILE).is_file()
    ]
    if any(each != stored[0] for each in stored) or (stored and len(stored) < len(run.adapters)):
        message = "the adapters were trained with different position embeddings of their base"
        raise UsageError(message, code="TRAIN-213", where="adapter", hint="Merge each into a model of its own: swift merge.")
    return stored[0] if stored else {}


def write_rope(folder: Path, run: Run, config: Any) -> None:
    """Write the position embeddings of the base beside an adapter, if the run has set them."""
    if rope_of(run):
        text = config.get_text_config()
        write_json(folder / FILE, {"rope_parameters": dict(text.rope_parameters), "max_position_embeddings": text.max_position_embeddings})


def apply_rope(config: Any, asked: Mapping[str, Any]) -> None:
    """Set the position embeddings of a configuration of transformers.

    Args:
        config: the configuration.
        asked: fields of `rope_parameters` with `length`, the tokens that the factor is computed for; or what `write_rope` wrote.

    Raises:
        UsageError: the architecture has no rotary embeddings or several, the type is unknown, or there is no factor.
    """
    text = config.get_text_config()
    own, length = getattr(text, "rope_parameters", None), int(getattr(text, "max_position_embeddings", None) or 0)
    if not isinstance(own, dict) or not length or any(isinstance(value, dict) for value in own.values()):
        message = f"a '{text.model_type}' model has no rotary position embeddings that are the same in all layers"
        raise UsageError(message, code="TRAIN-214", where="rope_scaling", hint="Leave --rope-scaling out.")
    if "rope_parameters" in asked:
        text.rope_parameters, text.max_position_embeddings = dict(asked["rope_parameters"]), asked["max_position_embeddings"]
        return
    kind = str(asked.get("rope_type") or asked.get("type") or "")
    if kind not in KINDS:
        raise UsageError(f"'{kind}' is not a type of scaling: {', '.join(KINDS)}", code="TRAIN-215", where="rope_scaling", hint=_HINT)
    original = int(asked.get("original_max_position_embeddings") or own.get("original_max_position_embeddings") or length)
    factor = float(asked.get("factor") or max(1.0, int(asked.get("length") or 0) / original))
    if factor <= 1:
        message = f"the model has {original} positions, which is enough, and no factor is given"
        raise UsageError(message, code="TRAIN-216", where="rope_scaling", hint=_HINT)
    more = {name: value for name, value in asked.items() if name not in ("type", "length")}
    text.rope_parameters = {**own, **more, "rope_type": kind, "factor": factor}
    if kind == "yarn":
        text.rope_parameters["original_max_position_embeddings"] = original
    if kind != "dynamic":  # which computes its base from the length that the model was trained on
        text.max_position_embeddings = int(original * factor)
