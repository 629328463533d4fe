"""Options that every PEFT method has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import field_validator
from swift_train.model_parts import FreezeParts

from swift_core.options import Names, names, option

_NAME = re.compile(r"[\w.]+")
_CHOICES = ("auto", "all", "all-linear")


class AdapterOptions(FreezeParts):
    """Options that every method has."""

    config_class: ClassVar[str]
    keys: ClassVar[Mapping[str, str]] = {}

    targets: list[str] | str = option(
        "auto",
        "Modules to adapt: auto (the family's targets, else all linear layers), all-linear, names or paths, also beside these, or one "
        "regular expression.",
        also=("target_modules", "lora_target"),
    )
    modules_to_save: Names = option(
        list, "Modules that are fully trained and saved with the adapter, such as lm_head.", also=("additional_target",)
    )
    full_vit: bool = option(
        False, "Train all weights of a vision-language model's tower and aligner, saved with the adapter on its language model."
    )
    config: dict[str, Any] = option(dict, "Further fields of PEFT's configuration class, by PEFT's names.")

    @field_validator("targets", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        """Normalise to a string for an automatic choice or one regular expression, and to a list for names."""
        found = names(value)
        if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
            return value
        if len(found) == 1:
            return found[0] if found[0] in _CHOICES or not _NAME.fullmatch(found[0]) else found
        return found
