"""Checks that a device computes what a CPU computes in float32."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from swift_testing.architectures import small_model
from swift_train import row_attention
from swift_train.options import PretrainOptions
from swift_train.row_isolation import probe_isolation, with_row_attention
from swift_train.tasks import PretrainTask
from swift_train.testing import run_training, training_run

from swift_core.plugins import registry
from tests.gpu.setting import Setting, largest_difference, losses

# A model with grouped heads, with a sliding window, with absolute positions, with a mixture of experts, and one that computes its mask
_TYPES = {"llama": {}, "mistral": {"sliding_window": 5}, "gpt2": {}, "qwen3_moe": {}, "gemma2": {}}
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
            assert isolation.together, f"{kind}, {dtype}: {isolation.reason}"
            taken = with_row_attention(strategy, task, _TOKENS, 64, isolation)
            difference = taken.figures.get("other_attention", 0.0)
            found[f"{kind} {str(dtype).removeprefix('torch.')}"] = f"{taken.attention or 'its own'} ({difference:.1e})"
    assert row_attention.IMPLEMENTATION in found["llama float32"], found
    if setting.device.startswith("cuda"):
        assert row_attention.IMPLEMENTATION in found["llama bfloat16"], found
    return found


def kernel(setting: Setting) -> dict[str, float]:
    """Compare the variable-length kernel with attention row by row, output and gradients, with and without a window."""
    if not setting.device.startswith("cuda"):
        return {}
    random = torch.Generator(setting.device).manual_seed(0)
    ends = torch.tensor([0, 17, 200, 333], dtype=torch.int32, device=setting.device)
    shapes = ((1, 8, 333, 64), (1, 2, 333, 64), (1, 2, 333, 64))
    module, found = torch.nn.Module(), {}
    for window in (None, 50):
        outputs = []
        for dtype in (torch.float32, torch.bfloat16):  # row by row, the kernel
            random.manual_seed(0)
            states = [torch.randn(shape, generator=random, device=setting.device) for shape in shapes]
            states = [state.bfloat16().to(dtype).requires_grad_() for state in states]
            output, _ = row_attention.attend(module, *states, None, cu_seq_lens_q=ends, max_length_q=183, sliding_window=window)
            output.float().square().sum().backward()
            outputs.append([output.float().detach(), *(state.grad.float() for state in states if state.grad is not None)])
        found[f"window {window}"] = max(float((a - b).abs().max() / a.abs().max()) for a, b in zip(*outputs, strict=True))
    assert max(found.values()) < 0.03, found
    return found


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
