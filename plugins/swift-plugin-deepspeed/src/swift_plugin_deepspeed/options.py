"""Options of the ZeRO strategies. The stage is the name's, or, for `deepspeed`, that of the JSON file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from pydantic import field_validator
from swift_train.options import StrategyOptions

from swift_core.options import option

_CONFIG = "DeepSpeed's own configuration: a JSON file, whose text is kept in the run, or the same as a mapping."


class ZeroOptions(StrategyOptions):
    """ZeRO: Rajbhandari et al. 2019, https://arxiv.org/abs/1910.02054."""

    named_stage: ClassVar[int] = 0  # 0: the JSON file's

    config: str | dict[str, Any] = option("", _CONFIG, also=("deepspeed_config",))
    offload_optimizer: bool = option(False, "Keep the optimizer's state on the CPU, and step there.")

    @property
    def stage(self) -> int:
        """Which of 1, 2 and 3."""
        return self.named_stage or int(self.said("zero_optimization", "stage"))

    def said(self, *keys: str) -> Any:
        """What the JSON file says at these nested keys; None where it says nothing."""
        node: Any = self.config
        for key in keys:
            node = node.get(key) if isinstance(node, dict) else None
        return node

    @field_validator("config", mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        config = _json(value) if isinstance(value, str) and value else value
        zero = config.get("zero_optimization") if isinstance(config, dict) else None
        said = zero.get("stage") if isinstance(zero, dict) else None
        if cls.named_stage and said not in (None, "auto", cls.named_stage):
            raise ValueError(f"its zero_optimization.stage is {said}, not {cls.named_stage}: choose --parallel deepspeed, or zero{said}")
        if not cls.named_stage and said not in (1, 2, 3):
            shown = "it names no zero_optimization.stage" if said is None else f"its zero_optimization.stage is {said}"
            raise ValueError(f"{shown}: ZeRO has the stages 1, 2 and 3, and plain data parallelism is --parallel ddp")
        return config


class Zero1Options(ZeroOptions):
    """Optimizer state cut over the processes."""

    named_stage: ClassVar[int] = 1


class Zero2Options(ZeroOptions):
    """Gradients too."""

    named_stage: ClassVar[int] = 2


class Zero3Options(ZeroOptions):
    """Weights too."""

    named_stage: ClassVar[int] = 3

    offload_weights: bool = option(False, "Keep the weights on the CPU too, and fetch them layer by layer.")


class Zero2OffloadOptions(Zero2Options):
    """ZeRO-2 with the optimizer on the CPU."""

    offload_optimizer: bool = option(True, "Keep the optimizer's state on the CPU, and step there.")


class Zero3OffloadOptions(Zero3Options):
    """ZeRO-3 with optimizer and weights on the CPU."""

    offload_optimizer: bool = option(True, "Keep the optimizer's state on the CPU, and step there.")
    offload_weights: bool = option(True, "Keep the weights on the CPU too, and fetch them layer by layer.")


class DeepSpeedOptions(ZeroOptions):
    """All as the JSON file says."""

    config: str | dict[str, Any] = option(..., _CONFIG, also=("deepspeed_config",))


def _json(name: str) -> dict[str, Any]:
    try:
        read = json.loads(Path(name).expanduser().read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"'{name}' is not valid JSON: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"'{name}' can't be read: {getattr(error, 'strerror', None) or error}") from None
    if not isinstance(read, dict):
        raise ValueError(f"'{name}' must hold a JSON object")
    return read
