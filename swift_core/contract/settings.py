"""Settings: the options that the user gives, in YAML and as flags, and the place of each, for errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Settings:
    """Nested option values with the origin of each: `lines` maps a dotted path to 'file:line'; `flags` are the paths set by flags."""

    values: dict[str, Any] = field(default_factory=dict)  # option -> value, nested by part
    lines: dict[str, str] = field(default_factory=dict)
    flags: set[str] = field(default_factory=set)

    def set(self, path: str, value: Any) -> None:
        """Set a dotted path from a flag; what YAML said there is replaced. `tuner: lora` becomes `{name: lora}` where needed."""
        *parents, last = path.split(".")
        node = self.values
        for name in parents:
            inner = node.get(name)
            if not isinstance(inner, dict):
                inner = {"name": inner} if inner not in (None, "") else {}
                node[name] = inner
            node = inner
        if isinstance(node.get(last), dict) and not isinstance(value, dict):
            node[last]["name"] = value
        else:
            node[last] = value
        self.flags.add(path)

    def given(self, path: str) -> Any:
        """Return the value of a dotted path, the name of a part with options; None if it is not given. `-` and `_` are the same."""
        node: Any = self.values
        for key in path.split("."):
            node = node.get(key, node.get(key.replace("_", "-"))) if isinstance(node, dict) else None
        return node.get("name") if isinstance(node, dict) else node

    def where(self, path: str) -> str:
        """Return the name of a path in errors: 'file.yaml:7: tuner.rank', or '--tuner.rank'."""
        if path in self.flags:
            return "--" + path.replace("_", "-")
        probe = path
        while probe:
            if probe in self.lines:
                return f"{self.lines[probe]}: {path}"
            probe = probe.rpartition(".")[0]
        return path
