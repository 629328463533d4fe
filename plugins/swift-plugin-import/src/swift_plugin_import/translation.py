"""Result of an import: settings with their origin, keys that need no effect, and keys that are not possible here."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

_SECRET = re.compile(
    r"(^|_)(hub|hf|huggingface|api|auth|access|wandb|swanlab|comet|mlflow|modelscope|ms)_?(api_?)?(token|key)$|^token$|secret|passw(or)?d",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(
    r"\b(hf_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{16,}|ms-[0-9a-f]{8}-[0-9a-f-]{20,}|[0-9a-f]{40})\b|://[^/\s:@]+:[^/\s@]+@"
)
_WIDTH = 60  # maximum characters of a value in a list


def is_secret(key: str, value: Any) -> bool:
    """Return whether a key or its value is a token, an API key or a password."""
    given = isinstance(value, str) and bool(value)
    return given and bool(_SECRET.search(key.replace("-", "_")) or _SECRET_VALUE.search(value))


@dataclass(frozen=True, slots=True)
class Setting:
    """A value of an option, and the key that it came from."""

    value: Any
    origin: str


@dataclass(frozen=True, slots=True)
class Unused:
    """A key that sets no option: its value (shortened; empty for a secret) and the reason."""

    key: str
    value: str
    reason: str

    def __str__(self) -> str:
        return f"{self.key}{f': {self.value}' if self.value else ''}: {self.reason}"


@dataclass(slots=True)
class Translation:
    """The settings of one run, by dotted path, and what became of every other key."""

    tool: str  # title of the tool
    verb: str = "sft"
    settings: dict[str, Setting] = field(default_factory=dict)
    dropped: list[Unused] = field(default_factory=list)
    impossible: list[Unused] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def set(self, path: str, value: Any, origin: str) -> None:
        """Set an option; a secret in the value is refused."""
        if is_secret(origin, value):
            self.drop(origin, value, "a secret: set it in the environment")
            return
        self.settings[path] = Setting(value, origin)

    def value(self, path: str, default: Any = None) -> Any:
        """Return the value of an option that was set."""
        return self.settings[path].value if path in self.settings else default

    def drop(self, key: str, value: Any, reason: str) -> None:
        """Record a key that needs no effect."""
        self.dropped.append(Unused(key, shown(key, value), reason))

    def refuse(self, key: str, value: Any, reason: str) -> None:
        """Record a key that is not possible here."""
        self.impossible.append(Unused(key, shown(key, value), reason))

    def remove(self, path: str, reason: str) -> None:
        """Move a setting, and those below it, to what is not possible."""
        for name in [name for name in self.settings if name == path or name.startswith(f"{path}.")]:
            setting = self.settings.pop(name)
            self.refuse(setting.origin, setting.value, reason)


def shown(key: str, value: Any) -> str:
    """Return a value for a list, in one line; empty for a secret."""
    secret = any(is_secret(key, item) for item in _texts(value))
    text = "" if secret or value is None else " ".join(str(value).split())
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list | tuple):
        return [text for item in value for text in _texts(item)]
    return [str(value)]
