"""Find the modules that training would never reach, by one forward and backward pass through the loaded model.

A module whose weight is read instead of being called, or whose output is not used, gives its adapter no gradient: it would be saved, merged
and served, and never learn. Whether a layer is such can't be told from its name, and may depend on the device (fused kernels).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

log = logging.getLogger(__name__)

_SHORT, _LONG = 32, 512  # tokens in the row, and in a second one if some are not reached: what compresses wants long rows


@dataclass(slots=True)
class _Seen:
    """What was seen of a module: a number that is added to its outputs, for its gradient, and how many tokens it was given."""

    added: Tensor = field(default_factory=lambda: torch.zeros((), requires_grad=True))
    tokens: int = 0
    opaque: bool = False  # its outputs take no number: nothing is told of it

    def hook(self, _: Any, given: tuple[Any, ...], output: Any) -> Any:
        if given and isinstance(given[0], Tensor):
            shape = given[0].shape
            self.tokens += given[0].numel() // max(1, shape[-1]) if given[0].is_floating_point() else given[0].numel()
        if not isinstance(output, Tensor) or not output.is_floating_point():
            self.opaque = True
            return None
        return output + self.added.to(output.device)


def unreached(model: Any, paths: Sequence[str]) -> set[str]:
    """The modules among `paths` whose outputs get no gradient; none, if the model can't be computed with text alone.

    The experts that a router did not choose for this row are reached by others, as long as one beside them was chosen for a part of it.
    """
    left = _unreached(model, paths, _SHORT) if paths else set()
    if not left:
        return set()
    longer = _unreached(model, paths, _LONG)
    return left if longer is None else left & longer


def _unreached(model: Any, paths: Sequence[str], tokens: int) -> set[str] | None:
    """Those that a row of so many tokens does not reach; None if the model refuses it."""
    seen = {path: _Seen() for path in paths}
    handles = [model.get_submodule(path).register_forward_hook(one.hook) for path, one in seen.items()]
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    training, devices = model.training, [] if model.device.type in ("cpu", "meta") else [model.device]
    try:
        model.requires_grad_(False)
        with torch.random.fork_rng(devices=devices):
            if not _backward(model, tokens):
                return None
    finally:
        for handle in handles:
            handle.remove()
        for parameter in learning:
            parameter.requires_grad_(True)
        model.train(training)
    live = {path for path, one in seen.items() if one.opaque or one.added.grad is not None}
    return {path for path in paths if path not in live and not _routed(path, live, seen)}


def _backward(model: Any, tokens: int) -> bool:
    """Compute a row forwards and backwards, in training mode if the model can; whether that was possible."""
    for training in (True, False):
        model.train(training)
        for module in model.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        try:
            with torch.enable_grad():
                model(input_ids=_row(model, tokens), use_cache=False).logits.float().logsumexp(-1).mean().backward()
        except Exception as error:
            reason = error
        else:
            return True
    if model.device.type != "meta":
        log.warning("whether every adapter gets a gradient can't be told: %s: %s", type(reason).__name__, reason)
    return False


def _row(model: Any, tokens: int) -> Tensor:
    config = model.config.get_text_config()
    tokens = min(tokens, int(getattr(config, "max_position_embeddings", None) or tokens))
    return (torch.arange(1, tokens + 1) * 7919 % int(config.vocab_size))[None].to(model.device)


def _routed(path: str, live: set[str], seen: dict[str, _Seen]) -> bool:
    """Whether a module that was not called stands in a list with one that got a part of the tokens: a router chooses among them."""
    most = max(one.tokens for one in seen.values())
    for number in re.finditer(r"(?<=\.)\d+(?=\.|$)", path):
        beside = re.compile(re.escape(path[: number.start()]) + r"\d+" + re.escape(path[number.end() :]))
        if any(0 < seen[other].tokens < most for other in live if beside.fullmatch(other)):
            return True
    return False
