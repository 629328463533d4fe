"""Kind and name → spec. Unknown names get a suggestion.

A name that two plugins offer is an error where the user typed it, until `distribution/name` says which. A name that our own code chose
(a default, an adapter without a manifest) stays with the first-party plugin that owns it, whatever else is installed.

Three failures have three texts: not installed (a pip line, from the catalogue), installed but broken, and simply unknown.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from swift_core.contract import ISOLATABLE, Choice, FormatSpec, UsageError, VerbSpec, specs, suggestion
from swift_core.plugins.loader import OWN, Plugin, Plugins, plugins

HOOKS: Mapping[str, tuple[str, type[specs.Named]]] = {
    "hub": ("swift_hubs", specs.HubSpec),
    "family": ("swift_model_families", specs.ModelFamily),
    "format": ("swift_formats", FormatSpec),
    "loader": ("swift_model_loaders", specs.LoaderSpec),
    "dataset": ("swift_datasets", specs.DatasetSpec),
    "task": ("swift_tasks", specs.TaskSpec),
    "tuner": ("swift_tuners", specs.TunerSpec),
    "parallel": ("swift_parallel_strategies", specs.ParallelSpec),
    "quantizer": ("swift_quantizers", specs.QuantizerSpec),
    "exporter": ("swift_exporters", specs.ExporterSpec),
    "backend": ("swift_backends", specs.BackendSpec),
    "evaluator": ("swift_evaluators", specs.EvaluatorSpec),
    "launcher": ("swift_launchers", specs.LauncherSpec),
    "optimizer": ("swift_optimizers", specs.OptimizerSpec),
    "verb": ("swift_verbs", VerbSpec),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A spec and the plugin that offers it."""

    spec: Any
    plugin: Plugin

    @property
    def first_party(self) -> bool:
        """Whether it comes from one of our own distributions."""
        return self.plugin.name == OWN or self.plugin.distribution in first_party()


class Registry:
    """What the loaded plugins offer, asked for kind by kind on first use."""

    def __init__(self, loaded: Plugins) -> None:
        self.plugins = loaded
        self._entries: dict[str, list[Entry]] = {}

    def entries(self, kind: str) -> list[Entry]:
        """All specs of a kind with their owners, by name; the first-party ones first, so that no other takes what they answer to."""
        if kind not in self._entries:
            hook, wanted = HOOKS[kind]
            found = []
            for plugin, answer in self.plugins.ask(hook):
                if problem := _wrong(answer, wanted, kind, local=plugin.local):
                    self.plugins.fail(plugin, f"{hook}() {problem}")
                else:
                    found += [Entry(spec, plugin) for spec in answer]
            self._entries[kind] = sorted(found, key=lambda entry: (not entry.first_party, entry.spec.name, entry.plugin.name))
        return self._entries[kind]

    def all(self, kind: str) -> list[Any]:
        """All specs of a kind, in the order of `entries`."""
        return [entry.spec for entry in self.entries(kind)]

    def matching(self, kind: str, name: str, *, origin: str = "") -> list[Entry]:
        """The parts that have a name, or that `distribution/name` means; a name goes before another's `also`."""
        home, slash, bare = name.rpartition("/")
        origin, name = (origin or home, bare) if slash else (origin, name)
        entries = [entry for entry in self.entries(kind) if origin in ("", entry.plugin.name, entry.plugin.distribution)]
        return [entry for entry in entries if entry.spec.name == name] or [entry for entry in entries if name in entry.spec.also]

    def owner(self, kind: str, name: str) -> str:
        """Whose part is meant by a name that our own code chose; '' where it is nobody's in particular."""
        return catalogue().get(kind, {}).get(name, "") or next((OWN for entry in self.matching(kind, name) if entry.plugin.name == OWN), "")

    def spec(self, choice: Choice) -> Any:
        """The spec behind a choice, of the plugin that it was taken from."""
        return self.entry(choice.kind, choice.name, origin=choice.plugin).spec

    def get(self, kind: str, name: str) -> Any:
        """The spec of that name.

        Raises:
            UsageError: unknown, not installed, broken, or offered twice.
        """
        return self.entry(kind, name).spec

    def entry(self, kind: str, name: str, *, origin: str = "", where: str = "") -> Entry:
        """The part of that name and its owner; `origin` (the user's `from:`) names a plugin or distribution where two offer it."""
        matches = self.matching(kind, name, origin=origin)
        if len(matches) == 1:
            return matches[0]
        if matches:
            owners = " and ".join(sorted(entry.plugin.distribution for entry in matches))
            flag = "to" if kind == "exporter" else kind
            words = " or ".join(sorted(f"--{flag} {entry.plugin.label}/{name}" for entry in matches))
            raise UsageError(
                f"two plugins offer the {kind} '{name}': {owners}",
                where=where or kind,
                hint=f"Say which one: {words} (in YAML also from: {matches[0].plugin.label}).",
            )
        raise self._unknown(kind, name.rpartition("/")[2], origin or name.rpartition("/")[0], where or kind)

    def choose(self, kind: str, name: str, options: Mapping[str, Any] | None = None, *, origin: str = "", where: str = "") -> Choice:
        """The spec of that name with validated options, as a part of a Run. `where` is the dotted path used in errors."""
        entry = self.entry(kind, name, origin=origin, where=where)
        return Choice(**choice_fields(entry, dict(options or {})))

    def default(self, kind: str, name: str, *, where: str = "") -> Choice:
        """The part of a name that our own code chose, with its default options."""
        return self.choose(kind, name, origin=self.owner(kind, name), where=where)

    def _unknown(self, kind: str, name: str, origin: str, where: str) -> UsageError:
        home = catalogue().get(kind, {}).get(name)
        installed = {plugin.distribution: plugin for plugin in self.plugins.found.values()}
        if home in installed and installed[home].failure:
            broken = installed[home]
            return UsageError(
                f"the {kind} '{name}' comes with {home} {broken.version}, which is installed but broken: {broken.failure}",
                where=where,
                hint=f"swift plugins {broken.name} shows its traceback; pip install --force-reinstall {home} may fix it.",
            )
        left_out = self.plugins.left_out
        if home and home not in installed and home not in left_out.values():
            return UsageError(f"the {kind} '{name}' is not installed", where=where, hint=f"pip install {home}")
        names = [entry.spec.name for entry in self.entries(kind)]
        also = [alias for entry in self.entries(kind) for alias in entry.spec.also]
        hint = suggestion(name, [*names, *also, *catalogue().get(kind, {})]) or (
            f"Known: {', '.join(names)}." if names else f"No installed plugin offers a {kind}."
        )
        broken_ones = [plugin.name for plugin in self.plugins.found.values() if plugin.failure]
        if broken_ones:
            hint += f" Not loaded, because broken: {', '.join(broken_ones)} (see `swift plugins`)."
        if left_out:
            hint += f" Left out by SWIFT_LOAD_PLUGINS or SWIFT_BLOCK_PLUGINS: {', '.join(left_out)}."
        offered = f" offered by '{origin}'" if origin else ""
        return UsageError(f"there is no {kind} '{name}'{offered}", where=where, hint=hint)


def choice_fields(entry: Entry, options: dict[str, Any]) -> dict[str, Any]:
    """What a Choice of this entry holds, its options validated."""
    spec, plugin = entry.spec, entry.plugin
    if spec.options is None:
        if options:
            raise UsageError(
                f"the {spec.kind} '{spec.name}' has no options", where=f"{spec.kind}.{next(iter(options))}", hint="Leave it out."
            )
        values: dict[str, Any] = {}
    else:
        values = spec.options.load().checked(options).model_dump(mode="json")
    return {
        "kind": spec.kind,
        "name": spec.name,
        "plugin": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "factory": str(spec.factory),
        "options_class": str(spec.options or ""),
        "options": values,
    }


@cache
def first_party() -> frozenset[str]:
    """Our own distributions."""
    return frozenset({home for names in catalogue().values() for home in names.values()})


@cache
def registry() -> Registry:
    """The registry of this process."""
    return Registry(plugins())


@cache
def catalogue() -> Mapping[str, Mapping[str, str]]:
    """Kind → name → first-party distribution that has it; generated by docs/generate.py, checked in the tests."""
    return tomllib.loads(resources.files("swift_core").joinpath("catalogue.toml").read_text(encoding="utf-8"))


def _wrong(answer: Any, wanted: type[specs.Named], kind: str, *, local: bool) -> str:
    if not isinstance(answer, Iterable) or isinstance(answer, str):
        return f"must return a list of {wanted.__name__}, not {type(answer).__name__}"
    for spec in answer:
        if not isinstance(spec, wanted):
            return f"must return {wanted.__name__} objects, not {type(spec).__name__}"
        isolated = isinstance(spec, specs.Spec) and spec.isolated
        while_loading = isinstance(spec, specs.QuantizerSpec) and spec.when == "load"
        if isolated and (kind not in ISOLATABLE or while_loading):
            return f"offers '{spec.name}' as isolated, but a {kind} shares the training process"
        if isolated and local:
            return f"offers '{spec.name}' as isolated, but a local file can't be installed into an environment: package it"
    return ""
