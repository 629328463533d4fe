"""PEFT's methods by name."""

from __future__ import annotations

import dataclasses

from peft import PeftConfig
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

from swift_core.contract import UsageError, suggestion


def method_config(name: str) -> type[PeftConfig]:
    """Return PEFT's configuration class of a method that adapts layers."""
    methods = {
        str(kind.value).lower(): config
        for kind, config in PEFT_TYPE_TO_CONFIG_MAPPING.items()
        if {"target_modules", "modules_to_save"} <= {field.name for field in dataclasses.fields(config)}
    }
    if name.lower() not in methods:
        raise UsageError(
            f"PEFT has no method '{name}' that adapts layers",
            code="TUNER-018",
            where="tuner.method",
            hint=suggestion(name, methods) or f"Known: {', '.join(sorted(methods))}.",
        )
    return methods[name.lower()]
