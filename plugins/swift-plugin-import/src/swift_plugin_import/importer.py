"""Protocol of importers, and the importer that a table drives."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any, ClassVar, Protocol

from swift_core.contract import UsageError
from swift_plugin_import.keys import Keys, is_on
from swift_plugin_import.source import Source
from swift_plugin_import.table import Table, table
from swift_plugin_import.translation import Translation, is_secret
from swift_plugin_import.vocabulary import Vocabulary

_OWN = {"trl_task", "program", "verb", "environment", "adapted", "completion_only"}  # what importers add to the keys of a file
GROUP = "swift.importers"


class Importer(Protocol):
    """Reads the files of one tool; a class of the entry-point group `swift.importers`."""

    title: str

    def probe(self, source: Source) -> float:
        """Return how certain it is that the file is the tool's: the number of typical keys; 0 if it is not."""

    def read(self, source: Source) -> Sequence[Translation]:
        """Return a translation of each run that the file describes."""


class TableImporter:
    """An importer with a table; a subclass reads the keys that depend on others in `arrange`."""

    name: ClassVar[str]

    @property
    def table(self) -> Table:
        """The tool's names."""
        return table(self.name)

    @property
    def title(self) -> str:
        """The name of the tool."""
        return self.table.title

    def probe(self, source: Source) -> float:
        """Count the typical keys of a YAML or JSON file."""
        return len(self.table.typical & source.values.keys()) if source.values else 0

    def read(self, source: Source) -> Sequence[Translation]:
        """Translate a YAML or JSON file."""
        return [self.translate(Keys(source.values or {}), source)]

    def translate(self, keys: Keys, source: Source) -> Translation:
        """Translate the keys of one run."""
        found = Translation(self.title)
        self.arrange(keys, found, source)
        self._rest(keys, found)
        self._unmentioned(keys, found)
        self._defaults(found)
        Vocabulary(found).check()
        return found

    def arrange(self, keys: Keys, found: Translation, source: Source) -> None:
        """Read the keys whose meaning depends on other keys, and choose the verb."""

    def defaults(self, found: Translation) -> dict[str, Any]:
        """Return the defaults of the tool that differ from those here, by path."""
        return dict(self.table.defaults)

    def verb(self, task: str) -> str:
        """Return the verb for what the tool calls a task."""
        return self.table.verbs.get(task, task)

    def _rest(self, keys: Keys, found: Translation) -> None:
        words = Vocabulary(found)
        without = words.verb is None
        for key, value in keys.left().items():
            if is_secret(key, value):
                found.drop(key, None, "a secret, which is not copied: set it in the environment")
            elif value is None:
                found.drop(key, value, "it has no value")
            elif key in self.table.options:
                self._map(key, value, self.table.options[key], found)
            elif reason := self.table.dropped(key):
                found.drop(key, value, reason)
            elif path := words.path(key):
                self._map(key, value, path, found)
            elif without:
                found.refuse(key, value, f"an option of '{found.verb}', which is no verb here")
            elif reason := self.table.lacking(key):
                if is_on(value):
                    found.refuse(key, value, reason)
                else:
                    found.drop(key, value, "it is switched off")
            else:
                found.refuse(key, value, "no such key is known")

    def _unmentioned(self, keys: Keys, found: Translation) -> None:
        """List the keys that were read together with others, and of which no setting tells."""
        origins = " ".join(setting.origin for setting in found.settings.values())
        listed = {item.key.partition(".")[0] for item in (*found.dropped, *found.impossible)}
        mentioned = {*re.findall(r"\w+", origins), *listed, *_OWN}
        for old, new in keys.renamed.items():
            found.drop(old, None, f"an older name of {new}, which is read")
        for key, value in keys.taken().items():
            if key not in mentioned:
                found.drop(key, value, "it has no value" if value is None else "it is read together with other keys, or says the default")

    def _map(self, key: str, value: Any, path: str, found: Translation) -> None:
        names = self.table.values.get(key, {})
        text = str(value).lower() if isinstance(value, str | bool) else str(value)
        mapped = names.get(text, value)
        if mapped == "":
            found.drop(key, value, "it is the default")
        elif path not in found.settings:
            found.set(path, mapped, key)
        elif found.value(path) == mapped:
            found.drop(key, value, f"{found.settings[path].origin} says the same")
        else:
            found.drop(key, value, f"{found.settings[path].origin} overrides it")

    def _defaults(self, found: Translation) -> None:
        known = Vocabulary(found).paths()
        for path, value in self.defaults(found).items():
            part = path.partition(".")[0]
            if path not in found.settings and path in known and not (part == "optimizer" and found.value("optimizer.name")):
                found.set(path, value, f"default of {self.title}")


def importers() -> dict[str, Importer]:
    """Return the installed importers by name."""
    return {point.name: point.load()() for point in entry_points(group=GROUP)}


def importer_for(source: Source, name: str = "") -> Importer:
    """Return the importer that recognises a file by its content, or the one of a name.

    Raises:
        UsageError: no importer recognises the file, or there is none of that name.
    """
    known = importers()
    if name:
        if name not in known:
            hint = f"Known: {', '.join(sorted(known))}."
            raise UsageError(f"there is no importer '{name}'", code="IMPORT-003", where="--tool", hint=hint)
        return known[name]
    scores = {name: importer.probe(source) for name, importer in known.items()}
    best = max(scores, key=lambda name: scores[name], default="")
    if not best or not scores[best]:
        titles = ", ".join(sorted(importer.title for importer in known.values()))
        hint = f"Known are files of: {titles}. If it is one of them, name the tool: --tool {'|'.join(sorted(known))}."
        raise UsageError("no tool is recognised by its content", code="IMPORT-004", where=source.name, hint=hint)
    return known[best]
