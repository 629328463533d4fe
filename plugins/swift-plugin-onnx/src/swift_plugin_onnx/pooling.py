"""Pooling of sentence-transformers models: read from `modules.json`, and computed in the graph."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract import UsageError

if TYPE_CHECKING:
    from torch import Tensor

MODULES = "modules.json"
_MODES = ("mean", "cls", "lasttoken")
_FLAGS = {"cls_token": "cls", "mean_tokens": "mean", "max_tokens": "max"}  # older files: one flag per mode, with the prefix `pooling_mode_`


@dataclass(frozen=True, slots=True)
class Pooling:
    """A pooling `mode` over token states (mean, cls or lasttoken); the vectors have unit length if `normalized`."""

    mode: str
    normalized: bool

    def __call__(self, states: Tensor, mask: Tensor) -> Tensor:
        """Pool states [batch, length, size] with an attention mask [batch, length] to [batch, size]; padding may be on either side."""
        import torch

        states = states.float()
        if self.mode == "mean":
            weights = mask[:, :, None].to(states.dtype)
            vectors = (states * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
        else:
            places = torch.ones_like(mask).cumsum(1)  # 1-based
            first = places[:, -1] - (mask * places.flip(1)).amax(1)
            chosen = first if self.mode == "cls" else (mask * places).amax(1) - 1
            vectors = states.gather(1, chosen[:, None, None].expand(-1, 1, states.shape[-1])).squeeze(1)
        return torch.nn.functional.normalize(vectors, dim=-1) if self.normalized else vectors


def pooling_of(checkpoint: Path) -> Pooling | None:
    """Return the pooling of a checkpoint, or None if it is not a sentence-transformers model.

    Raises:
        UsageError: the pooling mode or a module is not supported.
    """
    file = checkpoint / MODULES
    if not file.is_file():
        return None
    modules = [(str(each["type"]).rpartition(".")[2], checkpoint / str(each.get("path", ""))) for each in _read(file)]
    kinds = [kind for kind, _ in modules]
    if kinds[:2] != ["Transformer", "Pooling"] or kinds[2:] not in ([], ["Normalize"]) or modules[0][1] != checkpoint:
        raise _unsupported(f"its modules are {', '.join(kinds) or 'none'}", file)
    config = _read(modules[1][1] / "config.json")
    if config.get("include_prompt") is False:
        raise _unsupported("its pooling excludes the prompt (include_prompt)", modules[1][1])
    modes = _modes(config)
    if len(modes) != 1 or modes[0] not in _MODES:
        raise _unsupported(f"its pooling is {' and '.join(modes) or 'none'}", modules[1][1])
    return Pooling(modes[0], "Normalize" in kinds)


def _modes(config: dict[str, Any]) -> list[str]:
    """Return the pooling modes, from `pooling_mode` or from the flags of older files."""
    if mode := config.get("pooling_mode"):
        return [mode] if isinstance(mode, str) else list(mode)
    flags = [name.removeprefix("pooling_mode_") for name, value in config.items() if name.startswith("pooling_mode_") and value]
    return [_FLAGS.get(flag, flag) for flag in flags]


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"the file can't be read: {error}", code="EXPORT-052", where=str(file), hint="Check that the checkpoint is complete."
        ) from error


def _unsupported(problem: str, where: Path) -> UsageError:
    hint = f"Supported: {', '.join(_MODES)}. Remove {MODULES} to export the states of all tokens instead."
    return UsageError(f"unsupported sentence-transformers model: {problem}", code="EXPORT-053", where=str(where), hint=hint)
