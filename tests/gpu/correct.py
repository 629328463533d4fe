"""Checks that a device computes what a CPU computes in float32."""

from __future__ import annotations

from contextlib import nullcontext
from importlib.util import find_spec
from typing import Any
from unittest import mock

import numpy as np
import torch
from swift_testing.architectures import small_model
from swift_train import row_attention
from swift_train.options import PretrainOptions
from swift_train.row_attention import Kernel
from swift_train.row_isolation import probe_isolation, with_row_attention
from swift_train.tasks import PretrainTask
from swift_train.testing import run_training, training_run

from swift_core.plugins import registry
from tests.gpu.setting import Setting, largest_difference, losses

# Models with grouped heads, a sliding window, absolute positions, a mixture of experts, capped scores, and sinks
_TYPES = {"llama": {}, "mistral": {"sliding_window": 5}, "gpt2": {}, "qwen3_moe": {}, "gemma2": {}, "gpt_oss": {}}
_TOKENS = tuple(range(5, 45))


def machine(setting: Setting) -> dict[str, Any]:
    """Record the device and the versions."""
    import peft
    import transformers

    found = {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__}
    if not setting.accelerator:
        return found
    module = torch.get_device_module(setting.device)
    free, total = torch.accelerator.get_memory_info(setting.device)
    return {**found, "name": module.get_device_name(), "memory_gib": round(total / 2**30, 1), "free_gib": round(free / 2**30, 1)}


def float32(setting: Setting) -> dict[str, float]:
    """Train in float32 on a CPU and on the device: LoRA, all weights, packed, checkpointed; the losses are equal within 1e-4."""
    found = {}
    for name, options in {
        "lora": {},
        "full": {"tuner": "full", "learning_rate": 1e-3},
        "packed": {"packing": True, "max_length": 128},
        "checkpointed": {"gradient_checkpointing": True},
    }.items():
        cpu = losses(setting.train(f"float32-{name}-cpu", device="cpu", **options))
        found[name] = largest_difference(cpu, losses(setting.train(f"float32-{name}", **options)))
    assert max(found.values()) < 1e-4, found
    return found


def narrow(setting: Setting) -> dict[str, float]:
    """Train in bfloat16 and float16; the losses are those of float32 within 0.05."""
    expected = losses(setting.train("narrow-float32"))
    dtypes = ("bfloat16", "float16") if setting.accelerator else ("bfloat16",)
    found = {dtype: largest_difference(expected, losses(setting.train(f"narrow-{dtype}", dtype=dtype))) for dtype in dtypes}
    assert max(found.values()) < 0.05, found
    return found


def attention(setting: Setting) -> dict[str, str]:
    """Compare attention within rows with the models' own, in float32 and in the dtype of the kernel; record what is taken."""
    found = {}
    for dtype in (torch.float32, torch.bfloat16):
        for kind, values in _TYPES.items():
            model = small_model(kind, **values).to(setting.device, dtype)
            strategy = registry().choose("parallel", "ddp", {"device": setting.device}).build()
            strategy.build(lambda device, model=model: model, lambda module: torch.optim.SGD(module.parameters(), lr=0.1))
            task = PretrainTask(PretrainOptions())
            isolation = probe_isolation(strategy, task, _TOKENS, 64)
            taken = with_row_attention(strategy, task, _TOKENS, 64, isolation)
            assert taken.together, f"{kind}, {dtype}: {taken.reason}"
            difference = taken.figures.get("other_attention", 0.0)
            found[f"{kind} {str(dtype).removeprefix('torch.')}"] = f"{', '.join(taken.kernels) or 'its own'} ({difference:.1e})"
    assert "its own" not in found["llama float32"], found
    if setting.device.startswith("cuda"):
        assert Kernel.FLASH.value in found["llama bfloat16"], found
    return found


def kernel(setting: Setting) -> dict[str, str]:
    """Compare the kernels of attention within rows with attention row by row in float32, output and gradients; record which were taken."""
    ends = torch.tensor([0, 17, 200, 333], dtype=torch.int32, device=setting.device)
    kinds: dict[str, dict[str, Any]] = {
        "causal": {}, "window": {"sliding_window": 50}, "capped": {"softcap": 5.0}, "sinks": {"s_aux": True}, "large heads": {"size": 320},
    }  # fmt: skip
    found, worst = {}, {}
    for kind, options in kinds.items():
        expected, _ = _attended(setting, ends, torch.float32, Kernel.BY_ROW, options)
        for dtype in (torch.float32, torch.bfloat16):
            name = f"{kind} {str(dtype).removeprefix('torch.')}"
            values, taken = _attended(setting, ends, dtype, None, options)
            worst[name] = max(float((a - b).abs().max() / a.abs().max()) for a, b in zip(expected, values, strict=True))
            found[name] = f"{taken.name} ({worst[name]:.1e})"
    assert all(each < (0.03 if "bfloat16" in name else 1e-3) for name, each in worst.items()), found
    if setting.device.startswith("cuda"):
        assert "FLASH" in found["causal bfloat16"], found
        assert "FLEX" in found["capped bfloat16"], found
    return found


def _attended(
    setting: Setting, ends: torch.Tensor, dtype: torch.dtype, kernel: Kernel | None, options: dict[str, Any]
) -> tuple[list[torch.Tensor], Kernel]:
    """Return the output and the gradients of attention in float32, and the kernel that was taken: `kernel` if one is given."""
    random = torch.Generator(setting.device).manual_seed(0)
    given = dict(options)
    size = given.pop("size", 64)
    shapes = ((1, 8, 333, size), (1, 2, 333, size), (1, 2, 333, size), (8,))
    states = [torch.randn(shape, generator=random, device=setting.device).bfloat16().to(dtype).requires_grad_() for shape in shapes]
    if "s_aux" in given:
        given["s_aux"] = states[3]
    module = torch.nn.Module()
    with mock.patch.object(row_attention, "_kernel", return_value=kernel) if kernel else nullcontext():
        output, _ = row_attention.attend(module, *states[:3], None, cu_seq_lens_q=ends, max_length_q=183, **given)
    output.float().square().sum().backward()
    return [output.float().detach(), *(state.grad.float() for state in states if state.grad is not None)], vars(module)["attention_kernel"]


def quantized(setting: Setting) -> dict[str, Any]:
    """Train LoRA on a base in 4 bits (QLoRA); the losses fall."""
    if not find_spec("bitsandbytes"):
        return {"skipped": "bitsandbytes is not installed"}
    found = losses(setting.train("qlora", tuner="qlora", max_steps=10, dtype="bfloat16" if setting.accelerator else "float32"))
    assert np.mean(found[-3:]) < np.mean(found[:3]), found
    return {"first": found[0], "last": found[-1]}


def resumed(setting: Setting) -> dict[str, float]:
    """Stop a run after three of six steps and resume it; the losses are equal to the last bit."""
    plan = {"learning_rate": 1e-2, "batch_size": 4, "max_steps": 6, "max_length": 256, "truncation": "right", "save_steps": 3}
    run = training_run(
        setting.model(),
        setting.rows(),
        verb_options={"device": setting.device, "dtype": "float32"},
        parallel_options={"device": setting.device},
        **plan,
    )
    whole = losses(run_training(run, setting.folder / "whole"))
    first = losses(run_training(run, setting.folder / "part", stop_after=3))
    rest = losses(run_training(run, setting.folder / "part"))  # a run that starts again in its folder resumes its own checkpoint
    difference = largest_difference(whole, [*first, *rest])
    assert difference == 0.0, (whole, first, rest)
    return {"difference": difference}
