"""How an embedder of sentence-transformers makes one vector of a text: told from its `modules.json`, and computed in the graph."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

MODULES = "modules.json"
_MODES = ("mean", "cls", "lasttoken")
_FLAGS = {"cls_token": "cls", "mean_tokens": "mean", "max_tokens": "max"}  # of older files, `pooling_mode_` in front; others: as they are


@dataclass(frozen=True, slots=True)
class Pooling:
    """Which tokens' states make the vector, and whether it is brought to length one."""

    mode: str
    normalized: bool

    def __call__(self, states: Tensor, mask: Tensor) -> Tensor:
        """The vector of each row: [batch, length, size] and the mask of its tokens → [batch, size]; padding may be on either side."""
        import torch

        states = states.float()
        if self.mode == "mean":
            weights = mask[:, :, None].to(states.dtype)
            vectors = (states * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
        else:
            places = torch.ones_like(mask).cumsum(1)  # from 1
            first = places[:, -1] - (mask * places.flip(1)).amax(1)
            chosen = first if self.mode == "cls" else (mask * places).amax(1) - 1
            vectors = states.gather(1, chosen[:, None, None].expand(-1, 1, states.shape[-1])).squeeze(1)
        return torch.nn.functional.normalize(vectors, dim=-1) if self.normalized else vectors


def pooling_of(checkpoint: Path) -> Pooling | None:
    """What the checkpoint says of pooling; None where it is no checkpoint of sentence-transformers.

    Raises:
        UsageError: a pooling, or a module, that is not known here.
    """
    file = checkpoint / MODULES
    if not file.is_file():
        return None
    modules = [(str(each["type"]).rpartition(".")[2], checkpoint / str(each.get("path", ""))) for each in _read(file)]
    kinds = [kind for kind, _ in modules]
    if kinds[:2] != ["Transformer", "Pooling"] or kinds[2:] not in ([], ["Normalize"]) or modules[0][1] != checkpoint:
        raise _unknown(f"its modules are {', '.join(kinds) or 'none'}", file)
    said = _read(modules[1][1] / "config.json")
    if said.get("include_prompt") is False:
        raise _unknown("its pooling leaves the prompt out, which a graph does not know", modules[1][1])
    modes = _modes(said)
    if len(modes) != 1 or modes[0] not in _MODES:
        raise _unknown(f"its pooling is {' and '.join(modes) or 'none'}", modules[1][1])
    return Pooling(modes[0], "Normalize" in kinds)


def _modes(said: dict[str, Any]) -> list[str]:
    """The modes, in the newer spelling or the older one of a flag each."""
    if mode := said.get("pooling_mode"):
        return [mode] if isinstance(mode, str) else list(mode)
    flags = [name.removeprefix("pooling_mode_") for name, value in said.items() if name.startswith("pooling_mode_") and value]
    return [_FLAGS.get(flag, flag) for flag in flags]


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"it can't be read: {error}", where=str(file), hint="Is the checkpoint whole?") from error


def _unknown(problem: str, where: Path) -> UsageError:
    hint = f"One of {', '.join(_MODES)} is computed in the graph. Without {MODULES}, the graph gives the states of all tokens."
    return UsageError(f"{problem}: no graph is made of that", where=str(where), hint=hint)
