"""Options of `tensorrt-engine`: the sizes that the engine is built for."""

from __future__ import annotations

from pydantic import model_validator

from swift_core.options.model import Options, option


class EngineOptions(Options):
    """Rows and tokens at once; the engine is fastest at the usual sizes, and takes none beyond the largest."""

    batch_size: int = option(8, "Rows that are usual.", ge=1)
    max_batch_size: int = option(32, "Most rows at once.", ge=1)
    length: int = option(128, "Tokens of a row that are usual.", ge=1)
    max_length: int = option(512, "Most tokens of a row.", ge=1)
    workspace: float = option(4.0, "Gigabytes of the GPU that building may take beside the weights.", gt=0)

    @model_validator(mode="after")
    def _usual_within_largest(self) -> EngineOptions:
        for usual, most in (("batch_size", "max_batch_size"), ("length", "max_length")):
            if getattr(self, usual) > getattr(self, most):
                raise ValueError(f"{usual} {getattr(self, usual)} is beyond {most} {getattr(self, most)}")
        return self
