"""Make a family's own configuration and model classes known to transformers' Auto classes, for this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swift_core.contract.errors import SwiftError

if TYPE_CHECKING:
    from swift_core.contract.specs import ModelFamily


def register(family: ModelFamily) -> None:
    """Register `family.classes`; a family without any needs nothing.

    Raises:
        SwiftError: a name is no Auto class, a class does not fit it, or transformers has a model type of that name already.
    """
    import transformers

    for name, ref in sorted(family.classes.items(), key=lambda item: item[0] != "AutoConfig"):
        auto: Any = getattr(transformers, name, None) if name.startswith("Auto") else None
        if not hasattr(auto, "register"):
            raise _broken(family, f"transformers has no Auto class '{name}'")
        found: Any = ref.load()
        try:
            if name == "AutoConfig":
                _check_free(family, found)
                auto.register(found.model_type, found, exist_ok=True)
            else:
                auto.register(getattr(found, "config_class", None) or _configuration(family), found, exist_ok=True)
        except (ValueError, AttributeError, TypeError) as error:
            raise _broken(family, f"{ref} can't be registered as {name}: {error}") from error


def _check_free(family: ModelFamily, config: Any) -> None:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING, CONFIG_MAPPING_NAMES

    known = CONFIG_MAPPING_NAMES.get(config.model_type)
    if known is None and config.model_type in CONFIG_MAPPING and CONFIG_MAPPING[config.model_type] is not config:
        known = str(CONFIG_MAPPING[config.model_type])
    if known:
        raise _broken(family, f"its model type '{config.model_type}' is that of {known} already")


def _configuration(family: ModelFamily) -> Any:
    if "AutoConfig" not in family.classes:
        raise ValueError("the family names no AutoConfig")
    return family.classes["AutoConfig"].load()


def _broken(family: ModelFamily, problem: str) -> SwiftError:
    return SwiftError(f"the classes of the family '{family.name}': {problem}", hint="Its plugin has to be corrected: ModelFamily.classes.")
