"""Tables of a tool's names, as TOML: which option each is, values with another name, what needs no effect, what is missing, defaults."""

from __future__ import annotations

import fnmatch
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any


@dataclass(frozen=True, slots=True)
class Table:
    """Names of a tool.

    `options` map its keys to paths of options, `values` give values of these keys another name, `drop` and `missing` give the reason for
    keys (patterns are allowed), `defaults` are the tool's defaults, by path, that differ from those here; `verbs` map what it calls a
    task to names of verbs, and `typical` are keys that only this tool has.
    """

    title: str
    typical: frozenset[str]
    options: Mapping[str, str]
    values: Mapping[str, Mapping[str, Any]]
    drop: Mapping[str, str]
    missing: Mapping[str, str]
    defaults: Mapping[str, Any]
    verbs: Mapping[str, str]

    def dropped(self, key: str) -> str:
        """Return why a key needs no effect; '' if it is not such a key."""
        return _reason(self.drop, key)

    def lacking(self, key: str) -> str:
        """Return which feature a key would need; '' if it is not such a key."""
        return _reason(self.missing, key)


@cache
def table(name: str) -> Table:
    """Return the table `tables/NAME.toml`; what it includes comes after its own entries."""
    data = tomllib.loads(resources.files("swift_plugin_import").joinpath("tables", f"{name}.toml").read_text(encoding="utf-8"))
    bases = [table(base) for base in data.get("include", ())]

    def merged(attribute: str, own: Mapping[str, Any]) -> dict[str, Any]:
        return {**own, **{key: value for base in reversed(bases) for key, value in getattr(base, attribute).items() if key not in own}}

    drop, missing = _by_key(data.get("drop", ())), _by_key(data.get("missing", ()))
    own = drop.keys() | missing.keys() | data.get("options", {}).keys()
    return Table(
        title=data["title"],
        typical=frozenset(data.get("typical", ())),
        options={key: path for key, path in merged("options", data.get("options", {})).items() if key not in own or key in data["options"]},
        values=merged("values", data.get("values", {})),
        drop={key: reason for key, reason in merged("drop", drop).items() if key not in own or key in drop},
        missing={key: reason for key, reason in merged("missing", missing).items() if key not in own or key in missing},
        defaults=merged("defaults", data.get("defaults", {})),
        verbs=merged("verbs", data.get("verbs", {})),
    )


def _by_key(groups: Any) -> dict[str, str]:
    return {key: group["reason"] for group in groups for key in group["keys"]}


def _reason(reasons: Mapping[str, str], key: str) -> str:
    return reasons.get(key) or next((reason for pattern, reason in reasons.items() if "*" in pattern and fnmatch.fnmatch(key, pattern)), "")
