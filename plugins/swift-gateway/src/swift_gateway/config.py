"""The configuration of a gateway, from the command line and a YAML file that is read again when it changes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from swift_core.contract import UsageError, suggestion


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """A server behind the gateway.

    Attributes:
        url: its base URL, ending in /v1.
        api_key_env: environment variable with the key that it requires; empty for none.
    """

    url: str
    api_key_env: str = ""


@dataclass(frozen=True, slots=True)
class ClientKey:
    """A key that clients may send, with its quotas.

    Attributes:
        name: what metrics call it.
        key_env: environment variable with the key itself.
        requests_per_minute: maximum requests; None for no limit.
        tokens_per_minute: maximum prompt and completion tokens; None for no limit.
    """

    name: str
    key_env: str
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """The configuration of a gateway.

    Attributes:
        servers: the servers.
        keys: keys of clients; empty: the gateway's own key alone is accepted.
        max_running: maximum requests that run on one server; further ones wait in the queue.
        max_queue: maximum requests that wait; further ones get 429.
        queue_timeout: maximum seconds that a request waits; then it gets 503.
        attempts: maximum servers that a request is sent to, one after another.
        probe_interval: seconds between two probes of a server.
    """

    servers: tuple[ServerAddress, ...] = ()
    keys: tuple[ClientKey, ...] = ()
    max_running: int = 64
    max_queue: int = 256
    queue_timeout: float = 60.0
    attempts: int = 3
    probe_interval: float = 5.0


@dataclass(frozen=True, slots=True)
class Source:
    """The sources of the configuration: values of the command line, which take precedence, and a file."""

    given: Mapping[str, Any] = field(default_factory=dict)
    file: Path | None = None

    def read(self) -> GatewayConfig:
        """Return the configuration.

        Raises:
            UsageError: the file can't be read or has an unknown or wrong value, or there is no server.
        """
        config = parse({**_mapping_of(self.file), **self.given}, where=str(self.file or ""))
        if not config.servers:
            raise UsageError(
                "no server given", code="GATEWAY-001", where="servers", hint="swift gateway http://HOST:PORT/v1 …, or --config FILE."
            )
        return config


def parse(values: Mapping[str, Any], *, where: str) -> GatewayConfig:
    """Return the configuration of a mapping. Raises UsageError for unknown names and wrong values."""
    known = {each.name for each in fields(GatewayConfig)}
    _check_names(values, known, where)
    simple: dict[str, Any] = {}
    for name in known - {"servers", "keys"}:
        if name in values:
            simple[name] = _number(values[name], name, whole=name in ("max_running", "max_queue", "attempts"))
    servers = tuple(_server(each, where) for each in _sequence(values.get("servers", ()), "servers", where))
    keys = tuple(_key(each, where) for each in _sequence(values.get("keys", ()), "keys", where))
    return GatewayConfig(servers=servers, keys=keys, **simple)


def secret(variable: str, where: str) -> str:
    """Return a key from the environment. Raises UsageError if the variable is not set."""
    if not (value := os.environ.get(variable, "")):
        hint = f"export {variable}=…"
        raise UsageError(f"the environment variable {variable} is not set", code="GATEWAY-002", where=where, hint=hint)
    return value


def _mapping_of(file: Path | None) -> Mapping[str, Any]:
    if file is None:
        return {}
    import yaml

    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"the file can't be read: {reason}", code="GATEWAY-003", where=str(file), hint="Write a YAML mapping.") from None
    if not isinstance(found, dict):
        raise UsageError("the file is not a mapping", code="GATEWAY-004", where=str(file), hint="servers: [{url: http://HOST:PORT/v1}]")
    return found


def _server(value: Any, where: str) -> ServerAddress:
    value = {"url": value} if isinstance(value, str) else value
    _check_mapping(value, {"url", "api_key_env"}, "servers", where)
    url = str(value.get("url", "")).rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            f"'{url}' is not the URL of a server", code="GATEWAY-005", where="servers", hint="Write a URL such as http://HOST:PORT/v1."
        )
    return ServerAddress(url if parts.path else f"{url}/v1", str(value.get("api_key_env", "")))


def _key(value: Any, where: str) -> ClientKey:
    _check_mapping(value, {each.name for each in fields(ClientKey)}, "keys", where)
    if not value.get("name") or not value.get("key_env"):
        raise UsageError("a key needs a name and key_env", code="GATEWAY-006", where="keys", hint="keys: [{name: team, key_env: TEAM_KEY}]")
    limits = {name: _number(value[name], name) for name in ("requests_per_minute", "tokens_per_minute") if value.get(name) is not None}
    return ClientKey(str(value["name"]), str(value["key_env"]), **limits)


def _sequence(value: Any, name: str, where: str) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise UsageError(f"{name} must be a list", code="GATEWAY-007", where=where or name, hint=f"{name}: [{{…}}, …]")
    return list(value)


def _check_mapping(value: Any, known: set[str], name: str, where: str) -> None:
    if not isinstance(value, dict):
        raise UsageError(
            f"an entry of {name} must be a mapping",
            code="GATEWAY-008",
            where=where or name,
            hint=f"Its keys are {', '.join(sorted(known))}.",
        )
    _check_names(value, known, where or name)


def _check_names(values: Mapping[str, Any], known: set[str], where: str) -> None:
    for name in values:
        if name not in known:
            hint = suggestion(str(name), sorted(known)) or f"Known: {', '.join(sorted(known))}."
            raise UsageError(f"unknown key '{name}'", code="GATEWAY-009", where=where, hint=hint)


def _number(value: Any, name: str, *, whole: bool = False) -> Any:
    wrong = isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or value <= 0
    if wrong:
        kind = "a whole number" if whole else "a number"
        raise UsageError(f"{name} must be {kind} above 0", code="GATEWAY-010", where=name, hint=f"It is {value!r}.")
    return value
