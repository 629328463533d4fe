"""Check a run against the policies."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from swift_provenance.licences import Terms, terms_of_checkpoint, terms_of_data

from swift_core.checkpoints import Checkpoint, Fetcher
from swift_core.contract import Problem, Run, Settings, Source, SwiftError, UsageError
from swift_core.options import listed
from swift_core.plugins import registry
from swift_plugin_policy.policy import Rules, policies

_LOCAL = ("localhost", "127.0.0.1", "::1")


def problems(run: Run) -> Iterator[Problem]:
    """Yield what a run does against a policy; the hint names the file and line of the rule."""
    for rules in policies():
        for check in (_licences, _hubs, _remote_code, _exporters, _hosts, _signers, _machine):
            yield from check(run, rules)


def refuse_hubs(settings: Settings) -> None:
    """Refuse a model, adapter or data set from a hub that is not allowed, before it is downloaded.

    Raises:
        UsageError: a policy does not allow the hub.
    """
    for rules in policies():
        if rules.policy.hubs is None:
            continue
        fetcher = Fetcher(registry(), hub=str(settings.values.get("hub") or ""))
        for option in ("model", "adapter"):
            for text in listed(settings.values.get(option)):
                scheme = _scheme(fetcher, str(text).rpartition("=")[2] if option == "adapter" else str(text))
                if scheme and scheme not in rules.policy.hubs:
                    found = _hub_problem(option, str(text), scheme, rules)
                    raise UsageError(found.message, code=found.code, where=settings.where(option), hint=found.hint)


def _licences(run: Run, rules: Rules) -> Iterator[Problem]:
    for where, name, terms in _terms(run):
        if reason := _against(terms.licence, rules):
            fatal = bool(terms.licence) or rules.policy.licences.unstated == "refuse"
            yield _problem(where, f"'{name}' {reason}", rules, "licences", fatal=fatal)


def _against(licence: str, rules: Rules) -> str:
    """Return why a licence is against a policy; '' if it is not."""
    policy = rules.policy.licences
    if not licence:
        asked = policy.allow is not None or policy.deny
        return "states no licence" if policy.unstated == "refuse" or (policy.unstated == "note" and asked) else ""
    if _matches(licence, policy.deny):
        return f"has the licence {licence}, which the policy denies"
    if policy.allow is not None and not _matches(licence, policy.allow):
        return f"has the licence {licence}, which the policy does not allow"
    return ""


def _terms(run: Run) -> Iterator[tuple[str, str, Terms]]:
    for where, source in _sources(run):
        yield where, source.reference, terms_of_checkpoint(Path(source.path), source.reference)
    for where, choices in (("dataset", run.datasets), ("val_dataset", run.validation)):
        for choice in choices:
            yield where, choice.asked, terms_of_data(choice, registry())


def _hubs(run: Run, rules: Rules) -> Iterator[Problem]:
    if rules.policy.hubs is None:
        return
    for where, source in _sources(run):
        for reference in _origins(source):
            scheme = reference.partition(":")[0]
            if scheme not in rules.policy.hubs:
                yield _hub_problem(where, reference, scheme, rules)
                break
    for choice in (*run.datasets, *run.validation):
        scheme, colon, _ = str(choice.options.get("path", "")).partition(":") if choice.name == "hub" else ("file", ":", "")
        if colon and scheme not in rules.policy.hubs:
            yield _hub_problem("dataset", choice.asked, scheme, rules)


def _origins(source: Source) -> Iterator[str]:
    """Yield the references of a checkpoint and of what it was made from; a local one as its manifest records."""
    yield source.reference
    seen, place = set[Path](), Path(source.path)
    while place.is_dir() and place not in seen and (manifest := Checkpoint.at(place).manifest):
        seen.add(place)
        if ":" in manifest.origin:
            yield manifest.origin
        if reference := manifest.base.get("reference"):
            yield reference
        place = Path(manifest.base.get("path") or "")


def _scheme(fetcher: Fetcher, text: str) -> str:
    try:
        return fetcher.reference(text).scheme
    except SwiftError:  # reported when the run is resolved
        return ""


def _hub_problem(where: str, reference: str, scheme: str, rules: Rules) -> Problem:
    allowed = ", ".join(rules.policy.hubs or ()) or "none"
    return _problem(where, f"'{reference}' is from the hub {scheme}; the policy allows {allowed}", rules, "hubs")


def _remote_code(run: Run, rules: Rules) -> Iterator[Problem]:
    allowed = rules.policy.remote_code
    trusted = run.options.get("trust_remote_code")
    if allowed is not None and trusted and run.model:
        name = run.model.reference.partition(":")[2]
        if name not in allowed and run.model.reference not in allowed:
            yield _problem("trust_remote_code", f"the code of '{name}' may not run", rules, "remote_code")


def _exporters(run: Run, rules: Rules) -> Iterator[Problem]:
    exporter = run.parts.get("exporter")
    if exporter and rules.policy.exporters is not None and exporter.name not in rules.policy.exporters:
        allowed = ", ".join(rules.policy.exporters) or "none"
        yield _problem("exporter", f"the exporter {exporter.name} is not allowed; the policy allows {allowed}", rules, "exporters")


def _hosts(run: Run, rules: Rules) -> Iterator[Problem]:
    if rules.policy.hosts is None:
        return
    for where, host in _named_hosts(run):
        if not _matches(host, [*rules.policy.hosts, *_LOCAL]):
            yield _problem(where, f"the host '{host}' is not allowed", rules, "hosts")


def _named_hosts(run: Run) -> Iterator[tuple[str, str]]:
    if run.server:
        yield "url", urlsplit(run.server.url).hostname or ""
    if host := run.options.get("host"):
        yield "host", str(host)
    yield from _urls(run.options, "")
    for part, choice in run.parts.items():
        yield from _urls(choice.options, f"{part}.")


def _urls(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _urls(item, f"{path}{key}.")
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _urls(item, path)
    elif isinstance(value, str) and value.startswith(("http://", "https://")):
        yield path.rstrip("."), urlsplit(value).hostname or ""


def _signers(run: Run, rules: Rules) -> Iterator[Problem]:
    if not rules.policy.signers:
        return
    from swift_provenance.signing import verify

    for where, source in _sources(run):
        errors: list[SwiftError] = []
        for key in rules.policy.signers:
            try:
                verify(Path(source.path), Path(key))
                break
            except SwiftError as error:
                errors.append(error)
        else:
            yield _problem(where, f"'{source.reference}' is not signed by an allowed signer: {errors[-1].message}", rules, "signers")


def _machine(run: Run, rules: Rules) -> Iterator[Problem]:
    loaded = registry().plugins.found
    for name in rules.policy.plugins:
        if name not in loaded or loaded[name].failure:
            yield _problem("plugins", f"the plugin '{name}' must be loaded", rules, "plugins")
    for name, value in rules.policy.environment.items():
        if os.environ.get(name) != value:
            yield _problem("environment", f"the variable {name} must be {value!r}", rules, "environment")


def _sources(run: Run) -> Iterator[tuple[str, Source]]:
    if run.model:
        yield "model", run.model
    for name, source in run.adapters.items():
        yield f"adapter.{name}", source


def _matches(text: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(text.lower(), pattern.lower()) or _in_network(text, pattern) for pattern in patterns)


def _in_network(text: str, pattern: str) -> bool:
    """Return whether an address is in a network such as 10.0.0.0/8."""
    try:
        return ipaddress.ip_address(text) in ipaddress.ip_network(pattern)
    except ValueError:
        return False


def _problem(where: str, message: str, rules: Rules, key: str, *, fatal: bool = True) -> Problem:
    return Problem(code="POLICY-002", where=where, message=message, hint=f"The rule is {key}, {rules.where(key)}.", fatal=fatal)
