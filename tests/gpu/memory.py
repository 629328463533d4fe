"""The planned peak of training against the allocated one."""

from __future__ import annotations

import gc
from typing import Any

import torch
from swift_plan import plan

from tests.gpu.setting import Setting

LARGE = {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 12, "num_attention_heads": 16, "num_key_value_heads": 8}
_LORA = {"rank": 16, "alpha": 32, "dropout": 0.0}
CASES: dict[str, dict[str, Any]] = {
    "lora": {"tuner_options": _LORA},
    "lora, checkpointed": {"tuner_options": _LORA, "gradient_checkpointing": True},
    "lora, packed": {"tuner_options": _LORA, "packing": True},
    "lora, offloaded": {"tuner_options": _LORA, "gradient_checkpointing": True, "activation_offload": True},
    "full": {"tuner": "full"},
    "full, checkpointed": {"tuner": "full", "gradient_checkpointing": True},
    "full, accumulated": {"tuner": "full", "gradient_accumulation_steps": 4},
    "lora, one row": {"tuner_options": _LORA, "batch_size": 1},
}


def planned(setting: Setting) -> dict[str, Any]:
    """Record the planned and the allocated peak of eight trainings in bfloat16; the plan is within a fifth of what was allocated."""
    model = setting.model() if setting.small else setting.model(**LARGE)
    length, found = 128 if setting.small else 2048, {}
    rows = setting.rows(32, 60 if setting.small else 1500)
    dtype = "bfloat16" if setting.accelerator else "float32"
    for name, options in CASES.items():
        given = {"model": model, "rows": rows, "max_length": length, "max_steps": 2, "dtype": dtype, **options}
        expected = plan(setting.run(**given), trace=True).peak / 2**30
        gc.collect()
        if setting.accelerator:
            torch.accelerator.empty_cache()
        setting.reset_peak()
        setting.train(f"memory-{name}", **given)
        found[name] = {"planned_gib": round(expected, 3), "allocated_gib": round(setting.peak(), 3)}
    if setting.accelerator and not setting.small:
        assert all(0.8 < each["planned_gib"] / each["allocated_gib"] < 1.2 for each in found.values()), found
    return found
