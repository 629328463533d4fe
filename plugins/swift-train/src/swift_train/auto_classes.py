"""Register a model family's own configuration and model classes with transformers' Auto classes, for this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swift_core.contract import SwiftError

if TYPE_CHECKING:
    from swift_core.contract import ModelFamily


def register(family: ModelFamily) -> None:
    """Register `family.classes` with transformers' Auto classes; do nothing if the family declares none.

    Raises:
        SwiftError: a name is not an Auto class, a class does not fit it, or transformers already has a model type of that name.
    """
    import transformers

    for name, ref in sorted(family.classes.items(), key=lambda item: item[0] != "AutoConfig"):
        auto: Any = getattr(transformers, name, None) if name.startswith("Auto") else None
        if not hasattr(auto, "register"):
            raise _broken(family, f"transformers has no Auto class '{name}'")
        found: Any = ref.load()
        try:
            if name == "AutoConfig":
                _check_unused(family, found)
                auto.register(found.model_type, found, exist_ok=True)
            else:
                auto.register(getattr(found, "config_class", None) or _configuration(family), found, exist_ok=True)
        except (ValueError, AttributeError, TypeError) as error:
            raise _broken(family, f"{ref} can't be registered as {name}: {error}") from error


def _check_unused(family: ModelFamily, config: Any) -> None:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING, CONFIG_MAPPING_NAMES  # type: ignore[attr-defined]

    known: str | None = CONFIG_MAPPING_NAMES.get(config.model_type)
    if known is None and config.model_type in CONFIG_MAPPING and CONFIG_MAPPING[config.model_type] is not config:
        known = str(CONFIG_MAPPING[config.model_type])
    if known:
        raise _broken(family, f"its model type '{config.model_type}' is already registered for {known}")


def _configuration(family: ModelFamily) -> Any:
    if "AutoConfig" not in family.classes:
        raise ValueError("the family declares no AutoConfig")
    return family.classes["AutoConfig"].load()


def _broken(family: ModelFamily, problem: str) -> SwiftError:
    return SwiftError(
        f"the classes of the family '{family.name}': {problem}", code="MODEL-034", hint="Fix ModelFamily.classes in its plugin."
    )
