"""Kind and name → spec. A kind is named by the class of its specs, or by its name if users type it. Unknown names get a suggestion.

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
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from swift_core.contract import ISOLATABLE, CallbackSpec, Choice, FormatSpec, Named, Spec, UsageError, VerbSpec, specs, suggestion
from swift_core.plugins.loader import OWN, Plugin, Plugins, plugins

if TYPE_CHECKING:
    import typing_extensions

    SpecT = typing_extensions.TypeVar("SpecT", bound=Named, default=Spec)  # a kind that is named by a text is one of a part

HOOKS: Mapping[type[Named], str] = {
    specs.HubSpec: "swift_hubs",
    specs.ModelFamily: "swift_families",
    FormatSpec: "swift_formats",
    specs.LoaderSpec: "swift_loaders",
    specs.DatasetSpec: "swift_datasets",
    specs.TaskSpec: "swift_tasks",
    specs.TunerSpec: "swift_tuners",
    specs.ParallelSpec: "swift_parallel",
    specs.QuantizerSpec: "swift_quantizers",
    specs.ExporterSpec: "swift_exporters",
    specs.BackendSpec: "swift_backends",
    specs.EvaluatorSpec: "swift_evaluators",
    specs.LauncherSpec: "swift_launchers",
    specs.OptimizerSpec: "swift_optimizers",
    CallbackSpec: "swift_callbacks",
    specs.SectionSpec: "swift_report_sections",
    VerbSpec: "swift_verbs",
}
KINDS: Mapping[str, type[Named]] = {spec.kind: spec for spec in HOOKS}
SpecT_co = TypeVar("SpecT_co", bound=Named, covariant=True)


@dataclass(frozen=True, slots=True)
class Entry(Generic[SpecT_co]):
    """A spec and the plugin that offers it."""

    spec: SpecT_co  # what the plugin offers
    plugin: Plugin  # who offers it

    @property
    def first_party(self) -> bool:
        """True if it comes from a first-party distribution."""
        return self.plugin.name == OWN or self.plugin.distribution in first_party()


class Registry:
    """The parts that the loaded plugins offer, requested kind by kind on first use."""

    def __init__(self, loaded: Plugins) -> None:
        self.plugins = loaded
        self._entries: dict[str, list[Entry[Any]]] = {}

    def entries(self, kind: type[SpecT] | str) -> list[Entry[SpecT]]:
        """All specs of a kind with their owners, by name; the first-party ones first, so that no other takes what they answer to."""
        kind = kind if isinstance(kind, str) else kind.kind
        if kind not in self._entries:
            hook = HOOKS[KINDS[kind]]
            found: list[Entry[Any]] = []
            for plugin, answer in self.plugins.ask(hook):
                if problem := _wrong(answer, KINDS[kind], kind, local=plugin.local):
                    self.plugins.fail(plugin, f"{hook}() {problem}")
                else:
                    found += [Entry(spec, plugin) for spec in answer]
            self._entries[kind] = sorted(found, key=lambda entry: (not entry.first_party, entry.spec.name, entry.plugin.name))
        return self._entries[kind]

    def all(self, kind: type[SpecT] | str) -> list[SpecT]:
        """All specs of a kind, in the order of `entries`."""
        return [entry.spec for entry in self.entries(kind)]

    def matching(self, kind: type[SpecT] | str, name: str, *, origin: str = "") -> list[Entry[SpecT]]:
        """Return the parts of a name, or of `distribution/name`; names precede aliases."""
        home, slash, bare = name.rpartition("/")
        if slash and (aliased := [entry for entry in self.entries(kind) if name in entry.spec.also]):  # org/name of a hub
            return aliased
        origin, name = (origin or home, bare) if slash else (origin, name)
        entries = [entry for entry in self.entries(kind) if origin in ("", entry.plugin.name, entry.plugin.distribution)]
        return [entry for entry in entries if entry.spec.name == name] or [entry for entry in entries if name in entry.spec.also]

    def owner(self, kind: str, name: str) -> str:
        """Return the distribution whose part is meant by a name that code chose; '' if it is no particular one."""
        return catalogue().get(kind, {}).get(name, "") or next((OWN for entry in self.matching(kind, name) if entry.plugin.name == OWN), "")

    def spec(self, choice: Choice, kind: type[SpecT] | None = None) -> SpecT:
        """Return the spec of a choice of that kind, from the plugin that the choice names."""
        return self.entry(kind or choice.kind, choice.name, origin=choice.plugin).spec

    def get(self, kind: type[SpecT] | str, name: str) -> SpecT:
        """Return the spec of that name.

        Raises:
            UsageError: unknown, not installed, broken, or offered twice.
        """
        return self.entry(kind, name).spec

    def entry(self, kind: type[SpecT] | str, name: str, *, origin: str = "", where: str = "") -> Entry[SpecT]:
        """Return the part of that name and its owner; `origin` (`from:` in YAML) names a plugin or distribution if two offer it."""
        matches = self.matching(kind, name, origin=origin)
        kind = kind if isinstance(kind, str) else kind.kind
        if len(matches) == 1:
            return matches[0]
        if matches:
            owners = " and ".join(sorted(entry.plugin.distribution for entry in matches))
            flag = "to" if kind == "exporter" else kind
            words = " or ".join(sorted(f"--{flag} {entry.plugin.label}/{name}" for entry in matches))
            raise UsageError(
                f"two plugins offer the {kind} '{name}': {owners}",
                code="PLUGIN-021",
                where=where or kind,
                hint=f"Select one: {words} (in YAML also from: {matches[0].plugin.label}).",
            )
        raise self._unknown(kind, name.rpartition("/")[2], origin or name.rpartition("/")[0], where or kind)

    def choose(self, kind: str, name: str, options: Mapping[str, Any] | None = None, *, origin: str = "", where: str = "") -> Choice:
        """Return the spec of that name with validated options, as a part of a run. `where` is the option path in errors."""
        entry = self.entry(kind, name, origin=origin, where=where)
        return Choice(**choice_fields(entry, dict(options or {})))

    def default(self, kind: str, name: str, *, where: str = "") -> Choice:
        """Return the part of a name that code chose, not the user, with its default options."""
        return self.choose(kind, name, origin=self.owner(kind, name), where=where)

    def _unknown(self, kind: str, name: str, origin: str, where: str) -> UsageError:
        home = catalogue().get(kind, {}).get(name)
        installed = {plugin.distribution: plugin for plugin in self.plugins.found.values()}
        if home in installed and installed[home].failure:
            return broken(kind, name, installed[home], where)
        left_out = self.plugins.left_out
        if home and home not in installed and home not in left_out.values():
            return UsageError(f"the {kind} '{name}' is not installed", code="PLUGIN-022", where=where, hint=f"pip install {home}")
        names = [entry.spec.name for entry in self.entries(kind)]
        also = [alias for entry in self.entries(kind) for alias in entry.spec.also]
        hint = suggestion(name, [*names, *also, *catalogue().get(kind, {})]) or (
            f"Known: {', '.join(names)}." if names else f"No {kind} is installed."
        )
        broken_ones = [plugin.name for plugin in self.plugins.found.values() if plugin.failure]
        if broken_ones:
            hint += f" Not loaded, because broken: {', '.join(broken_ones)} (see `swift plugins`)."
        if left_out:
            hint += f" Left out by SWIFT_LOAD_PLUGINS or SWIFT_BLOCK_PLUGINS: {', '.join(left_out)}."
        offered = f" offered by '{origin}'" if origin else ""
        return UsageError(f"there is no {kind} '{name}'{offered}", code="PLUGIN-023", where=where, hint=hint)


def choice_fields(entry: Entry[Spec], options: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a Choice of this entry, with validated options."""
    spec, plugin = entry.spec, entry.plugin
    if spec.options is None:
        if options:
            raise UsageError(
                f"the {spec.kind} '{spec.name}' has no options",
                code="PLUGIN-024",
                where=f"{spec.kind}.{next(iter(options))}",
                hint="Omit it.",
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


def broken(kind: str, name: str, plugin: Plugin, where: str) -> UsageError:
    """Return the error of a name whose plugin is installed but broken."""
    home = plugin.distribution
    hint = f"swift plugins {plugin.name} shows its traceback; pip install --force-reinstall {home} may fix it."
    message = f"the {kind} '{name}' comes with {home} {plugin.version}, which is installed but broken: {plugin.failure}"
    return UsageError(message, code="PLUGIN-025", where=where, hint=hint)


@cache
def first_party() -> frozenset[str]:
    """Return the names of our own distributions."""
    return frozenset({"swift-core"} | {home for names in catalogue().values() for home in names.values()})


@cache
def registry() -> Registry:
    """Return the registry of this process."""
    return Registry(plugins())


@cache
def catalogue() -> Mapping[str, Mapping[str, str]]:
    """Kind → name → first-party distribution that has it; generated by docs/generate.py, checked in the tests."""
    return tomllib.loads(resources.files("swift_core").joinpath("catalogue.toml").read_text(encoding="utf-8"))


def _wrong(answer: Any, expected: type[Named], kind: str, *, local: bool) -> str:
    if not isinstance(answer, Iterable) or isinstance(answer, str):
        return f"must return a list of {expected.__name__}, not {type(answer).__name__}"
    for spec in answer:
        if not isinstance(spec, expected):
            return f"must return {expected.__name__} objects, not {type(spec).__name__}"
        isolated = isinstance(spec, specs.Spec) and spec.isolated
        while_loading = isinstance(spec, specs.QuantizerSpec) and spec.when == "load"
        if isolated and (kind not in ISOLATABLE or while_loading):
            return f"offers '{spec.name}' as isolated, but a {kind} shares the training process"
        if isolated and local:
            return f"offers '{spec.name}' as isolated, but a local file can't be installed into an environment: package it"
    return ""


def hub_of_owner(known: Registry, name: str) -> str:
    """Return the hub whose plugin names the owner of a bare `owner/name` as its own; '' if none does."""
    owner = name.partition("/")[0]
    return next((spec.schemes[0] for spec in known.all(specs.HubSpec) if owner in spec.owners), "")
