"""LLaMA-Factory's dataset_info.json: data sets by name, each with its place, columns and roles."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from swift_plugin_import.importer import TableImporter
from swift_plugin_import.source import Source
from swift_plugin_import.translation import Translation
from swift_plugin_import.vocabulary import Vocabulary

_PLACES = ("file_name", "hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name")
_READ = frozenset({*_PLACES, "formatting", "ranking", "subset", "split", "folder", "num_samples", "columns", "tags"})
_OURS = {  # what LLaMA-Factory calls the content of a column → the field here, for its two formats
    "alpaca": {"prompt": "instruction", "query": "input", "response": "output"},
    "sharegpt": {"messages": "conversations"},
}
_SAME = {"history": "history", "system": "system", "tools": "tools", "images": "images", "videos": "videos", "audios": "audios"}
_PREFERENCES = {"chosen": "chosen", "rejected": "rejected", "kto_tag": "label"}
_ROLES = {"user_tag": "user", "assistant_tag": "assistant", "observation_tag": "tool", "function_tag": "assistant", "system_tag": "system"}
_PROPERTIES = {"role_tag": ("role", "from"), "content_tag": ("content", "value")}
_KNOWN_ROLES = {"user", "human", "assistant", "gpt", "system", "tool", "observation", "function_call", "tool_call"}
_NAME = "{{name}}"


class DatasetInfo(TableImporter):
    """Imports a dataset_info.json: every data set in it, to choose from."""

    name: ClassVar[str] = "dataset-info"

    def probe(self, source: Source) -> float:
        """Recognise entries that are mappings with a place."""
        entries = list((source.values or {}).values())
        return 10.0 * all(_is_entry(entry) for entry in entries) if entries else 0

    def read(self, source: Source) -> Sequence[Translation]:
        """Translate every entry."""
        found = Translation(self.title)
        entries: Mapping[str, Any] = source.values or {}
        pairs = [name for name, entry in entries.items() if entry.get("ranking")]
        found.verb = "dpo" if len(pairs) == len(entries) else "sft"
        Registered(source, "", entries).place(list(entries), "dataset", found, origin="")
        if pairs and found.verb == "sft":
            found.notes.append(f"{', '.join(pairs)}: rows with preferences, for swift dpo")
        Vocabulary(found).check()
        return [found]


class Registered:
    """The data sets that a dataset_info.json registers."""

    def __init__(self, source: Source, folder: str, entries: Mapping[str, Any] | None = None) -> None:
        self.folder = Path(folder)
        self.file = source.file(str(self.folder / "dataset_info.json")) if entries is None else None
        self.beside = self.file.parent if self.file else source.folder if entries is not None else self.folder
        self.entries = entries if entries is not None else _entries(self.file)

    def place(self, names: Sequence[Any], path: str, found: Translation, *, limit: Any = None, origin: str) -> None:
        """Set the data sets of these names; a limit is a number of rows of each."""
        chosen: list[Any] = []
        for name in names:
            item = self._one(str(name), found, origin or str(name))
            if item is not None:
                chosen.append(_limited(item, limit))
        if chosen:
            found.set(path, chosen, ", ".join(filter(None, (origin, "max_samples" if limit else ""))) or "dataset_info.json")

    def _one(self, name: str, found: Translation, origin: str) -> Any:
        entry = self.entries.get(name)
        if entry is None:
            return self._unregistered(name, found)
        for key, value in entry.items():
            if key not in _READ:
                found.refuse(f"{name}.{key}", value, "no such key is known")
        item = self._located(name, entry, found)
        if item is None:
            return None
        columns = self._columns(name, entry, found)
        self._tags(name, entry, found)
        if columns:
            item["columns"] = columns
        if count := entry.get("num_samples"):
            item["name"] = f"{item['name']}#{count}"
        return item["name"] if list(item) == ["name"] else item

    def _unregistered(self, name: str, found: Translation) -> Any:
        if name == "identity":
            found.notes.append("identity: give the name and the author that the model is to state")
            return {"name": "identity", "model_name": _NAME, "model_author": "{{author}}"}
        known = Vocabulary(found).offers("dataset", name)
        if not known and not re.search(r"[/.]", name):
            where = self.file or self.folder / "dataset_info.json"
            found.notes.append(f"dataset: '{name}' is not registered in {where}; give its file with --dataset")
        return name

    def _located(self, name: str, entry: Mapping[str, Any], found: Translation) -> dict[str, Any] | None:
        if entry.get("hf_hub_url"):
            item: dict[str, Any] = {"name": f"hf:{entry['hf_hub_url']}"}
        elif entry.get("ms_hub_url"):
            item = {"name": f"ms:{entry['ms_hub_url']}"}
        elif entry.get("file_name"):
            return {"name": str(self.beside / entry["file_name"])}
        else:
            key = next((key for key in _PLACES if key in entry), "place")
            found.refuse(f"{name}.{key}", entry.get(key), "a data set is a file or one of a hub")
            return None
        if entry.get("subset"):
            item["subset"] = entry["subset"]
        if entry.get("split", "train") != "train":
            item["split"] = entry["split"]
        if entry.get("folder"):
            found.refuse(f"{name}.folder", entry["folder"], "a data set of a hub is named by its subset")
        return item

    def _columns(self, name: str, entry: Mapping[str, Any], found: Translation) -> dict[str, str]:
        formatting = str(entry.get("formatting", "alpaca"))
        if formatting not in _OURS:
            if formatting != "openai":
                found.refuse(f"{name}.formatting", formatting, "there are the formats alpaca, sharegpt and openai")
                return {}
            formatting = "sharegpt"
        ours = {**_OURS[formatting], **_SAME, **_PREFERENCES}
        columns = {}
        for content, column in (entry.get("columns") or {}).items():
            if content not in ours:
                found.refuse(f"{name}.columns.{content}", column, "no such content is known")
            elif column and column != ours[content] and not (content == "messages" and column == "messages"):
                columns[str(column)] = ours[content]
        return columns

    def _tags(self, name: str, entry: Mapping[str, Any], found: Translation) -> None:
        roles = dict(found.value("data.roles", {}))
        for tag, value in (entry.get("tags") or {}).items():
            if tag in _PROPERTIES:
                if value not in _PROPERTIES[tag]:
                    found.refuse(f"{name}.tags.{tag}", value, f"messages have {' or '.join(_PROPERTIES[tag])}")
            elif tag in _ROLES and value not in _KNOWN_ROLES:
                roles[str(value)] = _ROLES[tag]
            elif tag not in _ROLES:
                found.refuse(f"{name}.tags.{tag}", value, "no such tag is known")
        if roles:
            found.set("data.roles", roles, "tags of dataset_info.json")


def split_names(value: Any) -> list[Any]:
    """Return names that are separated by commas, or a list of them."""
    if isinstance(value, str):
        return [name.strip() for name in value.split(",") if name.strip()]
    return list(value) if isinstance(value, list | tuple) else [] if value is None else [value]


def _limited(item: Any, limit: Any) -> Any:
    if not limit:
        return item
    if isinstance(item, dict):
        return {**item, "name": _limited(item["name"], limit)}
    name, mark, count = str(item).rpartition("#")
    return f"{name}#{min(int(count), int(limit))}" if mark and count.isdecimal() else f"{item}#{limit}"


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and any(place in entry for place in _PLACES)


def _entries(file: Path | None) -> Mapping[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8")) if file else {}
    except ValueError:
        return {}
    return {name: entry for name, entry in found.items() if _is_entry(entry)} if isinstance(found, dict) else {}
