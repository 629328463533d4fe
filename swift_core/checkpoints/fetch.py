"""Reference → checkpoint on this machine, in a form that every verb can start from: hub, format, family, base of an adapter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from swift_core.checkpoints.checkpoint import Checkpoint
from swift_core.checkpoints.family import identify
from swift_core.checkpoints.files import MANIFEST
from swift_core.contract import (
    BackendSpec,
    Choice,
    Event,
    HubSpec,
    LoaderSpec,
    ModelFamily,
    Progress,
    Reference,
    Source,
    SwiftError,
    UsageError,
    Watch,
    parse_reference,
    suggestion,
)
from swift_core.plugins import Entry, Registry, catalogue, checkpoint_files, hub_of_owner
from swift_core.system import locked, made_by, paths

Convert = Callable[[str, Source, Choice, Path, Watch], None]
"""(job, source, loader, target folder, watch): write the source in a format that the loader reads."""


@dataclass(slots=True)
class Fetcher:
    """Fetches checkpoints with the hubs of a registry; one in a format that is not in `reads` is converted by a loader."""

    registry: Registry  # the registry with the hubs
    loader: Choice | None = None  # the loader that converts; None: any that reads the format
    reads: tuple[str, ...] = ()  # formats that need no conversion
    reader: str = ""  # the backend that reads only these; "": nothing is served
    hub: str = ""  # the hub of references without a scheme; default: the one that its plugin declares as the default
    family: str = ""  # overrides what config.json says
    trusted: tuple[str, ...] = ()  # org/name@revision whose own code may run
    progress: Progress | None = None  # called with the progress of downloads
    convert: Convert | None = None  # (loader, source) -> the converted checkpoint; None: nothing is converted
    notes: list[str] = field(default_factory=list)  # texts for the user

    def model(self, text: str, where: str = "model") -> tuple[Source, dict[str, Source]]:
        """Return the base checkpoint that `text` names, and the adapters that it names on it (one called 'adapter', or none)."""
        source = self.source(text, where)
        if not Checkpoint.at(source.path).spec.adapter:
            return source, {}
        hub = self.reference(source.reference).scheme
        asked = self if hub == "file" else replace(self, hub=hub)  # a bare name in an adapter is of the hub that the adapter is from
        named = _base_of(Checkpoint.at(source.path), where)
        try:
            base = asked.source(named, where)
        except SwiftError as error:
            message = f"the base that the adapter '{text}' was trained on, {named}, can't be found: {error.message}"
            hint = f"Give its present location: --model BASE --adapter {text}"
            kind = UsageError if isinstance(error, UsageError) else SwiftError
            raise kind(message, where=where, hint=hint) from error
        if Checkpoint.at(base.path).spec.adapter:
            raise UsageError(
                "an adapter can't be applied to an adapter", code="CKPT-024", where=where, hint="Merge the first one into its base."
            )
        return base, {"adapter": source}

    def source(self, text: str, where: str) -> Source:
        """One checkpoint, fetched, checked and converted where needed."""
        named = None if Path(text).exists() else self._named(text, where)
        if not named:
            _check_path(text, where)
        reference = self.reference(named.spec.models[text] if named else text, where)
        try:
            folder = self.folder(reference, where)
        except SwiftError as error:
            if "/" not in text and ":" not in text and not Path(text).exists():  # more often a folder's name than a hub's
                hint = f"There is no folder '{text}' here, so the hub {reference.scheme} was asked for it. {error.hint}".strip()
                raise error.with_context(hint=hint) from error.__cause__
            raise
        reference = _pinned(reference, folder)
        found = Checkpoint.at(folder)
        if not found.spec.adapter and found.format not in self.reads:
            found = self._converted(found, reference)
            self._check_read(found.format, reference, where)
        found.check()
        family, plugin = (named.spec.name, named.plugin.name) if named and not self.family else self._family(found)
        self._check_remote_code(reference, family, plugin, where)
        identity = found.hash(self.progress)
        return Source(reference=str(reference), path=str(found.folder), hash=identity, format=found.format, family=family, plugin=plugin)

    def _named(self, name: str, where: str) -> Entry[ModelFamily] | None:
        """Return the family that has a model of that name; a UsageError if several have."""
        found = [entry for entry in self.registry.entries(ModelFamily) if name in entry.spec.models]
        if len(found) > 1:
            owners = " and ".join(sorted({entry.plugin.distribution for entry in found}))
            hint = f"Write the reference: {' or '.join(sorted({entry.spec.models[name] for entry in found}))}."
            raise UsageError(f"two families have a model '{name}': {owners}", code="CKPT-025", where=where, hint=hint)
        return found[0] if found else None

    def folder(self, reference: Reference, where: str) -> Path:
        """Return the folder of the fetched files."""
        if reference.scheme == "file" and (Path(reference.name) / "run.json").is_file():
            reference = Reference("file", str(_made_by_run(Path(reference.name), where)))
        hub = self.hub_of(reference, where).build()
        select = partial(checkpoint_files, code=self.trusts(reference))
        try:
            return Path(hub.fetch(reference, select=select, progress=self.progress))
        except UsageError as error:
            raise error.with_context(where=error.where or str(reference)) from error.__cause__

    def reference(self, text: str, where: str = "model") -> Reference:
        """Parse a reference; a name without a scheme belongs to this fetcher's hub, by default the one that its plugin declares as such."""
        hubs = self.registry.all(HubSpec)
        hub = self.hub or hub_of_owner(self.registry, text) or next((spec.schemes[0] for spec in hubs if spec.default), "")
        reference = parse_reference(text, hub=hub, where=where)
        return replace(reference, separator=next((spec.separator for spec in hubs if reference.scheme in spec.schemes), "@"))

    def hub_of(self, reference: Reference, where: str) -> Choice:
        """Return the hub of a reference's scheme."""
        hubs = [entry for entry in self.registry.entries(HubSpec) if reference.scheme in entry.spec.schemes]
        if len(hubs) > 1 and not hubs[0].first_party:
            owners = " and ".join(entry.plugin.distribution for entry in hubs)
            hint = f"SWIFT_BLOCK_PLUGINS={hubs[-1].plugin.name} disables one of them."
            raise UsageError(f"two hubs have the scheme '{reference.scheme}:': {owners}", code="CKPT-026", where=where, hint=hint)
        if hubs:
            return self.registry.choose("hub", hubs[0].spec.name, origin=hubs[0].plugin.name, where=where)
        schemes = ", ".join(sorted(scheme for spec in self.registry.all(HubSpec) for scheme in spec.schemes))
        hint = f"Known: {schemes}." if schemes else f"pip install {' '.join(sorted(set(catalogue().get('hub', {}).values())))}"
        if reference.scheme in ("http", "https"):
            hint = f"A running server is given as --url, by verbs that have it. Checkpoints come from hubs: {schemes}."
        raise UsageError(f"no installed hub has the scheme '{reference.scheme}:'", code="CKPT-027", where=where, hint=hint)

    def _converted(self, source: Checkpoint, reference: Reference) -> Checkpoint:
        """Return the checkpoint converted, once, by a worker, and kept in the cache; or as it is if no loader converts its format."""
        if self.convert is None:
            return source
        entries = [entry for entry in self.registry.entries(LoaderSpec) if self.loader is None or entry.spec.name == self.loader.name]
        entry = next((entry for entry in entries if source.format in entry.spec.converts and entry.spec.converter), None)
        if entry is None:
            return source
        loader = self.loader or self.registry.choose("loader", entry.spec.name, origin=entry.plugin.name)
        source.check()
        origin = source.hash(self.progress)
        target = paths.cache_dir("checkpoints", paths.digest([origin, loader.version, entry.spec.conversion])[:32])
        if (target / MANIFEST).is_file():
            return Checkpoint.at(target)
        before = Source(reference=str(reference), path=str(source.folder), hash=origin, format=source.format, family="")
        with locked(target, lambda: self._tell(f"another process is converting {reference}: waiting for it")):
            if not (target / MANIFEST).is_file():
                self.convert(str(entry.spec.converter), before, loader, target, self._watch)
        return Checkpoint.at(target)

    def _check_read(self, kind: str, reference: Reference, where: str) -> None:
        if not self.reader or kind in self.reads:
            return
        others = [spec.name for spec in self.registry.all(BackendSpec) if kind in spec.reads]
        raise UsageError(
            f"{self.reader} reads {' and '.join(self.reads)} checkpoints, and '{reference}' is {kind}",
            code="CKPT-028",
            where=where,
            hint=f"These can read it: {', '.join(others)}." if others else "Give the model in another format.",
        )

    def _tell(self, text: str) -> None:
        if self.progress:
            self.progress(text, 0, None)

    def _watch(self, event: Event) -> None:
        if self.progress and event["event"] == "progress":
            self.progress(event["what"], event["done"], event["total"])

    def _family(self, found: Checkpoint) -> tuple[str, str]:
        if self.family:
            entry = self.registry.entry(ModelFamily, self.family, where="family")
            return entry.spec.name, entry.plugin.name
        entries = self.registry.entries(ModelFamily)
        manifest = None if found.spec.adapter else found.manifest
        declared = next((entry for entry in entries if manifest and entry.spec.name == manifest.family), None)
        if declared:  # what it was made from was of this family, whatever others claim its architecture
            return declared.spec.name, declared.plugin.name
        if not found.spec.family_from:
            return "", ""
        config = found.config
        family = identify(config, [entry.spec for entry in entries])
        if family is None:
            named = ", ".join(config.get("architectures") or [str(config.get("model_type", "?"))])
            self.notes.append(
                f"no installed family knows the architecture {named}: adapters go on all linear layers; --family NAME overrides this"
            )
            return "", ""
        owner = next(entry.plugin.name for entry in entries if entry.spec is family)
        return family.name, owner

    def trusts(self, reference: Reference) -> bool:
        """Return whether the user has named exactly this repository and revision, or this folder, as trusted."""
        if reference.scheme == "file":
            return any(Path(name).absolute() == Path(reference.name).absolute() for name in self.trusted)
        return f"{reference.name}@{reference.revision}" in self.trusted or str(reference) in self.trusted

    def _check_remote_code(self, reference: Reference, family: str, plugin: str, where: str) -> None:
        for name in self.trusted:
            if "@" not in name and not Path(name).exists():
                raise UsageError(
                    f"'{name}' has no revision",
                    code="CKPT-029",
                    where="trust_remote_code",
                    hint="Give the commit that you have reviewed: org/name@revision.",
                )
        if not family or not self.registry.entry(ModelFamily, family, origin=plugin).spec.remote_code or self.trusts(reference):
            return
        named = f"{reference.name}@{reference.revision or 'REVISION'}"
        raise UsageError(
            f"'{reference}' is of the family {family}, which runs code from its own repository, and that is refused",
            code="CKPT-030",
            where=where,
            hint=f"Review its code at one revision; to trust it: --model {reference.scheme}:{named} --trust-remote-code {named}",
        )


def _made_by_run(folder: Path, where: str) -> Path:
    """Return the checkpoint that the run of a run folder made."""
    made = made_by(folder)
    if made and made.exists():
        return made
    kept = sorted(folder.glob("checkpoints/step-*/model"), key=lambda path: (len(path.parent.name), path.parent.name))
    hint = f"Its last checkpoint is {kept[-1]}" if kept else "See its log.txt."
    if made:
        raise UsageError(f"the output of the run '{folder}' no longer exists: {made}", code="CKPT-031", where=where, hint=hint)
    raise UsageError(f"the run '{folder}' wrote no checkpoint", code="CKPT-032", where=where, hint=hint)


def _check_path(text: str, where: str) -> None:
    """Refuse `models/tide` if there is a folder `models` without it: it is a path, not a repository."""
    path = Path(text)
    if ":" in text or path.exists() or path.parent == Path() or not path.parent.is_dir():
        return
    near = suggestion(path.name, [item.name for item in path.parent.iterdir()])
    hub = "" if path.is_absolute() or text.startswith(".") else f"If a hub's model is meant: hf:{text}."
    raise UsageError(
        f"there is no '{path.name}' in the folder '{path.parent}'",
        code="CKPT-033",
        where=where,
        hint=f"{near} {hub}".strip() or "Check the path.",
    )


def _pinned(reference: Reference, folder: Path) -> Reference:
    """Return the reference with the fetched revision: from the manifest, or from the name of the snapshot folder."""
    if reference.scheme == "file":
        return reference
    manifest = Checkpoint.at(folder).manifest
    commit = folder.name if len(folder.name) == 40 and all(letter in "0123456789abcdef" for letter in folder.name) else ""
    return replace(reference, revision=(manifest.revision if manifest else "") or commit or reference.revision)


def _base_of(adapter: Checkpoint, where: str) -> str:
    """Return the base model that an adapter records, in its manifest or as its format does."""
    manifest = adapter.manifest
    if manifest and manifest.base:
        local, reference = manifest.base.get("path", ""), manifest.base.get("reference", "")
        gone = local and not Path(local).exists()
        if named := reference if not local or (gone and not reference.startswith("file:")) else local:
            return named
    base = adapter.base
    if not base:
        raise UsageError(
            "the adapter does not name its base model",
            code="CKPT-034",
            where=where,
            hint="Name the base: --model BASE --adapter FOLDER.",
        )
    return base
