"""Options of the `tensorrt-engine` exporter."""

from __future__ import annotations

from pydantic import model_validator

from swift_core.options import Options, option


class EngineOptions(Options):
    """Sizes of the optimization profile: the engine is fastest at the optimum and accepts nothing above the maximum."""

    batch_size: int = option(8, "Optimum batch size.", ge=1)
    max_batch_size: int = option(32, "Maximum batch size.", ge=1)
    length: int = option(128, "Optimum length in tokens.", ge=1)
    max_length: int = option(512, "Maximum length in tokens.", ge=1)
    workspace: float = option(4.0, "Maximum GPU workspace for building, in GiB, excluding the weights.", gt=0)

    @model_validator(mode="after")
    def _optimum_within_maximum(self) -> EngineOptions:
        for optimum, maximum in (("batch_size", "max_batch_size"), ("length", "max_length")):
            if getattr(self, optimum) > getattr(self, maximum):
                raise ValueError(f"{optimum} {getattr(self, optimum)} is greater than {maximum} {getattr(self, maximum)}")
        return self
