"""Options of the ZeRO strategies. The strategy's name fixes the stage; for `deepspeed`, the JSON file does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from pydantic import field_validator
from swift_train.options import StrategyOptions

from swift_core.options import option

_CONFIG = "DeepSpeed configuration: a JSON file, whose contents are stored in the run, or a mapping with the same keys."
_OFFLOAD_OPTIMIZER = "Offload the optimizer: keep its state on the CPU and step there."
_OFFLOAD_WEIGHTS = "Offload the weights: keep them on the CPU and fetch them layer by layer."


class ZeroOptions(StrategyOptions):
    """Options of every stage of ZeRO (Rajbhandari et al. 2019, https://arxiv.org/abs/1910.02054)."""

    named_stage: ClassVar[int] = 0  # 0: taken from the JSON file

    config: str | dict[str, Any] = option("", _CONFIG, also=("deepspeed_config",))
    offload_optimizer: bool = option(False, _OFFLOAD_OPTIMIZER)

    @property
    def stage(self) -> int:
        """The ZeRO stage: 1, 2 or 3."""
        return self.named_stage or int(self.configured("zero_optimization", "stage"))

    def configured(self, *keys: str) -> Any:
        """Return the value of these nested keys in the JSON file; None if it has none."""
        node: Any = self.config
        for key in keys:
            node = node.get(key) if isinstance(node, dict) else None
        return node

    @field_validator("config", mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        config = _json(value) if isinstance(value, str) and value else value
        zero = config.get("zero_optimization") if isinstance(config, dict) else None
        stage = zero.get("stage") if isinstance(zero, dict) else None
        if cls.named_stage and stage not in (None, "auto", cls.named_stage):
            raise ValueError(f"zero_optimization.stage is {stage}, not {cls.named_stage}: use --parallel deepspeed or zero{stage}")
        if not cls.named_stage and stage not in (1, 2, 3):
            what = "zero_optimization.stage is missing" if stage is None else f"zero_optimization.stage is {stage}"
            raise ValueError(f"{what}: ZeRO has the stages 1, 2 and 3; plain data parallelism is --parallel ddp")
        return config


class Zero1Options(ZeroOptions):
    """Options of ZeRO-1: optimizer state sharded."""

    named_stage: ClassVar[int] = 1


class Zero2Options(ZeroOptions):
    """Options of ZeRO-2: optimizer state and gradients sharded."""

    named_stage: ClassVar[int] = 2


class Zero3Options(ZeroOptions):
    """Options of ZeRO-3: optimizer state, gradients and weights sharded."""

    named_stage: ClassVar[int] = 3

    offload_weights: bool = option(False, _OFFLOAD_WEIGHTS)


class Zero2OffloadOptions(Zero2Options):
    """Options of ZeRO-2 with the optimizer offloaded."""

    offload_optimizer: bool = option(True, _OFFLOAD_OPTIMIZER)


class Zero3OffloadOptions(Zero3Options):
    """Options of ZeRO-3 with optimizer and weights offloaded."""

    offload_optimizer: bool = option(True, _OFFLOAD_OPTIMIZER)
    offload_weights: bool = option(True, _OFFLOAD_WEIGHTS)


class DeepSpeedOptions(ZeroOptions):
    """Options of ZeRO with the stage of the JSON file."""

    config: str | dict[str, Any] = option(..., _CONFIG, also=("deepspeed_config",))


def _json(name: str) -> dict[str, Any]:
    try:
        config = json.loads(Path(name).expanduser().read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"'{name}' is not valid JSON: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"'{name}' can't be read: {getattr(error, 'strerror', None) or error}") from None
    if not isinstance(config, dict):
        raise ValueError(f"'{name}' must hold a JSON object")
    return config
