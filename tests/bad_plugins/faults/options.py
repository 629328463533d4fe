"""Options, each time with one fault."""

from __future__ import annotations

from pydantic import ConfigDict, Field, field_serializer

from swift_core.options import Options, option
from swift_core.runs import LocalLauncher


class Launcher(LocalLauncher):
    pass


class Undescribed(Options):
    patience: int = Field(default=3)


class Lost(Options):
    patience: int = option(3, "Seconds to wait.")

    @field_serializer("patience")
    def _in_minutes(self, value: int) -> int:
        return value // 60


class Spelled(Options):
    patience: int = option(3, "Seconds to wait.")
    grace: int = option(3, "Seconds to end in.", also=("patience",))


class Loose(Options):
    model_config = ConfigDict(extra="ignore")


class Default(Options):
    patience: int = option(-1, "Seconds to wait.", ge=0)
