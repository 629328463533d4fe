"""Losses and gradients of small models with Liger's kernels, in Triton's interpreter, against the models' own operations; as JSON."""

from __future__ import annotations

import copy
import json
import sys
from typing import Any

import liger_kernel.ops.geglu
import liger_kernel.ops.rms_norm
import numpy as np
import torch
import triton.language as tl
from swift_testing.architectures import small_model
from swift_train.kernels import use_kernels
from swift_train.options import PretrainOptions
from swift_train.tasks import PretrainTask
from triton.runtime import interpreter

from swift_core.plugins import registry


def complete_the_interpreter() -> None:
    """Add what the interpreter of Triton 3.9 lacks: scalars that are floats, and functions of the devices' mathematical libraries."""
    plain = interpreter._implicit_cvt

    def convert(argument: Any) -> Any:
        if isinstance(argument, float):
            return tl.tensor(interpreter.TensorHandle(np.array([argument], dtype=np.float32), tl.float32), tl.float32)
        return plain(argument)

    interpreter._implicit_cvt = convert

    def rsqrt(value: Any) -> Any:
        return tl.math.rsqrt(value)  # looked up when it runs, which is when the interpreter is in its place

    def tanh(value: Any) -> Any:
        return 1 - 2 / (tl.exp(2 * value) + 1)

    liger_kernel.ops.rms_norm.rsqrt, liger_kernel.ops.geglu.tanh = rsqrt, tanh


def compared(kind: str) -> dict[str, Any]:
    """Return the kernels that were used, and the largest differences relative to the largest gradient of each parameter."""
    torch.manual_seed(0)
    plain = small_model(kind)
    model = copy.deepcopy(plain)
    ids = torch.randint(3, 250, (1, 24))
    own = plain(ids, labels=ids, use_cache=False).loss
    own.backward()
    strategy = registry().choose("parallel", "ddp", {"device": "cpu"}).build()
    strategy.build(lambda device: model, lambda module: torch.optim.SGD(module.parameters(), lr=0.1))
    used = use_kernels("liger", strategy, PretrainTask(PretrainOptions()), ids[0].tolist())
    loss = model(ids, labels=ids, use_cache=False).loss
    loss.backward()
    pairs = [(one.grad, other.grad) for one, other in zip(plain.parameters(), model.parameters(), strict=True) if one.grad is not None]
    assert all(other is not None for _, other in pairs)
    gradient = max(float((one - other).abs().max() / one.abs().max().clamp_min(1e-6)) for one, other in pairs)
    return {"name": used.name, "replaced": used.replaced, "loss": abs(float(loss - own)), "gradient": gradient}


if __name__ == "__main__":
    complete_the_interpreter()
    print(json.dumps({kind: compared(kind) for kind in sys.argv[1:]}))
