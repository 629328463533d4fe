"""The policy files and their keys. Every file that exists applies; a run must satisfy all of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from swift_core.contract import UsageError
from swift_core.options import Invalid, Names, Options, option, read_yaml

MACHINE = Path("/etc/swift-core/policy.yaml")


class Licences(Options):
    """Licences of models and data sets, as patterns of their names without regard to case: apache-2.0, cc-by-*."""

    allow: list[str] | None = option(None, "Allowed licences; all others are refused.")
    deny: list[str] = option(list, "Refused licences, also of those that are allowed.")
    unstated: Literal["refuse", "note", "allow"] = option("note", "What happens if a source states no licence.")


class Policy(Options):
    """Keys of a policy file; a key that is absent is no rule."""

    licences: Licences = option(Licences, "Licences of models and data sets.")
    hubs: Names | None = option(None, "Allowed hubs, by the scheme of their references: hf, ms, pypi, file.")
    remote_code: list[str] | None = option(None, "Repositories whose own code may run, as org/name@revision; []: none.")
    exporters: Names | None = option(None, "Allowed exporters; []: nothing may be exported.")
    hosts: list[str] | None = option(None, "Allowed hosts of servers that are asked, and addresses to listen on, as patterns.")
    signers: list[str] = option(list, "Public keys (PEM files): a model or adapter must be signed by the owner of one of them.")
    plugins: Names = option(list, "Plugins that must be loaded and working, such as audit.")
    environment: dict[str, str] = option(dict, "Environment variables that must have these values.")


@dataclass(frozen=True, slots=True)
class Rules:
    """A policy and the file it is from, with the line of each key."""

    policy: Policy
    file: Path
    lines: Mapping[str, str]

    def where(self, key: str) -> str:
        """Return the place of a key, as `file:line`."""
        return self.lines.get(key, str(self.file))


def policies() -> list[Rules]:
    """Return the policies that apply: the machine's, the user's, and the one that SWIFT_POLICY names.

    Raises:
        UsageError: a file is invalid, or the one that SWIFT_POLICY names does not exist.
    """
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    found = [path for path in (MACHINE, config / "swift-core" / "policy.yaml") if path.exists()]
    if named := os.environ.get("SWIFT_POLICY"):
        found.append(Path(named).expanduser())
    return [read_policy(path) for path in dict.fromkeys(path.absolute() for path in found)]


def read_policy(path: Path) -> Rules:
    """Read a policy file.

    Raises:
        UsageError: it does not exist, or has an unknown key or an invalid value; with file and line.
    """
    settings = read_yaml(path)
    try:
        policy = Policy.checked(settings.values)
    except Invalid as invalid:
        key, message = invalid.problems[0]
        raise UsageError(
            f"{key}: {message}", code="POLICY-001", where=settings.lines.get(key, str(path)), hint="Correct the policy."
        ) from None
    return Rules(policy, path, settings.lines)
