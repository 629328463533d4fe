"""Find modules that training would never update, by one forward and backward pass through the loaded model.

If a module's weight is read without the module being called, or its output is not used, its adapter receives no gradient: it would be
saved, merged and served without ever having been trained. This does not follow from a layer's name, and may depend on the device
(fused kernels).
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

# Tokens in the probe's row, and in a second row if some modules were not reached: layers that compress the sequence need a long one.
_SHORT, _LONG = 32, 512


@dataclass(slots=True)
class _Probe:
    """A forward hook that adds a zero scalar to a module's output, to see whether that scalar receives a gradient."""

    added: Tensor = field(default_factory=lambda: torch.zeros((), requires_grad=True))
    tokens: int = 0  # number of tokens that the module was called with
    opaque: bool = False  # the output is no floating-point tensor, so nothing can be added to it

    def hook(self, _: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        if inputs and isinstance(inputs[0], Tensor):
            shape = inputs[0].shape
            self.tokens += inputs[0].numel() // max(1, shape[-1]) if inputs[0].is_floating_point() else inputs[0].numel()
        if not isinstance(output, Tensor) or not output.is_floating_point():
            self.opaque = True
            return None
        return output + self.added.to(output.device)


def modules_without_gradient(model: Any, paths: Sequence[str]) -> set[str]:
    """Return the modules among `paths` whose outputs receive no gradient; empty if the model can't run on text alone, or has no weights.

    Experts that the router did not select for the probe's row are not returned if a sibling expert processed part of the row: other
    rows will reach them. Parameters, gradients, training mode and random state of the model are left unchanged.
    """
    if model.device.type == "meta":  # a backward pass can't give the probes on the CPU a gradient
        return set()
    missed = _not_reached(model, paths, _SHORT) if paths else set()
    if not missed:
        return set()
    missed_by_long_row = _not_reached(model, paths, _LONG)
    return missed if missed_by_long_row is None else missed & missed_by_long_row


def _not_reached(model: Any, paths: Sequence[str], tokens: int) -> set[str] | None:
    """Return the modules that a row of `tokens` tokens does not reach; None if the model can't process it."""
    probes = {path: _Probe() for path in paths}
    handles = [model.get_submodule(path).register_forward_hook(probe.hook) for path, probe in probes.items()]
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    training, devices = model.training, [] if model.device.type == "cpu" else [model.device]
    try:
        model.requires_grad_(False)
        with torch.random.fork_rng(devices=devices):
            if not _backward(model, tokens):
                return None
    finally:
        for handle in handles:
            handle.remove()
        for parameter in trainable:
            parameter.requires_grad_(True)
        model.train(training)
    reached = {path for path, probe in probes.items() if probe.opaque or probe.added.grad is not None}
    return {path for path in paths if path not in reached and not _is_routed(path, reached, probes)}


def _backward(model: Any, tokens: int) -> bool:
    """Run one row forward and backward, in training mode if the model supports it; return whether that succeeded."""
    for training in (True, False):
        model.train(training)
        for module in model.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        try:
            with torch.enable_grad():
                output = model(input_ids=_row(model, tokens), use_cache=False)
                values = output.logits if "logits" in vars(output) else output.last_hidden_state
                loss = values.float().logsumexp(-1).mean()
                if loss.requires_grad:  # else it depends on none of the modules
                    loss.backward()
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"  # not the error itself: its traceback would keep the pass's graph alive
        else:
            return True
    log.warning("can't check that every adapter receives a gradient: %s", reason)
    return False


def _row(model: Any, tokens: int) -> Tensor:
    config = model.config.get_text_config()
    tokens = min(tokens, int(getattr(config, "max_position_embeddings", None) or tokens))
    return (torch.arange(1, tokens + 1) * 7919 % int(config.vocab_size))[None].to(model.device)


def _is_routed(path: str, reached: set[str], probes: dict[str, _Probe]) -> bool:
    """Return True if a sibling in the same module list processed some but not all tokens: a router chooses between them."""
    maximum = max(probe.tokens for probe in probes.values())
    for number in re.finditer(r"(?<=\.)\d+(?=\.|$)", path):
        sibling = re.compile(re.escape(path[: number.start()]) + r"\d+" + re.escape(path[number.end() :]))
        if any(0 < probes[other].tokens < maximum for other in reached if sibling.fullmatch(other)):
            return True
    return False
