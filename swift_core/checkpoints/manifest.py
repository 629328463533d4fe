"""A checkpoint: a folder in the ecosystem's own layout, and beside its files one `swift.json`, the manifest.

The manifest says where the checkpoint came from and how to use it; everything else can read the folder without it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypedDict

from swift_core.checkpoints.files import MANIFEST, hash_files
from swift_core.contract import UsageError
from swift_core.system import paths

SCHEMA = 1


class MakerRecord(TypedDict, total=False):
    """The tuner, quantizer or loader that a checkpoint was made with; empty if there was none."""

    name: str
    plugin: str  # entry-point name of the plugin that offers it
    options: Mapping[str, Any]  # validated, as JSON
    format: str  # of quantized weights
    bits: int | None  # of quantized weights, if they have one width
    merged: Sequence[Mapping[str, Any]]  # the adapters merged into the weights: reference, hash, effect


class TemplateFacts(TypedDict, total=False):
    """Facts about a chat template; empty if there is none."""

    hash: str  # its SHA-256
    stop: Sequence[str]  # the tokens that end an answer
    default_system: str  # the system prompt that it adds to a conversation without one; absent if it adds none
    dated: bool  # it renders the current date
    date: str  # the day (ISO 8601) of the golden conversations


class Golden(TypedDict, total=False):
    """A conversation, and the token ids that every server of the checkpoint must render it to."""

    name: str
    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]]  # absent without tools
    ids: Sequence[int]
    varies: Sequence[int]  # half-open range of tokens that differ on other days


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The contents of `swift.json`. `base` is {reference, revision, hash, path} of what this was made from; `files` are SHA-256 by name."""

    kind: Literal["model", "adapter", "dataset"] = "model"  # what the folder holds
    origin: str = ""  # the reference it was fetched from, or the verb that made it
    revision: str = ""  # the revision it was fetched from
    licence: str = ""  # the licence as the hub names it
    base: Mapping[str, str] = field(default_factory=dict)
    family: str = ""  # name of the model family
    dtype: str = ""  # dtype of the weights
    head: str = ""  # the output layer if it does not predict the next token, as in `TaskSpec.head`
    tuner: MakerRecord = field(default_factory=MakerRecord)  # of an adapter, or of the adapters merged into the weights
    quantizer: MakerRecord = field(default_factory=MakerRecord)  # of quantized weights
    loader: MakerRecord = field(default_factory=MakerRecord)  # what loaded the model that this was made of
    template: TemplateFacts = field(default_factory=TemplateFacts)  # of the chat template
    golden: tuple[Golden, ...] = ()  # conversations for checking token parity
    generation: Mapping[str, Any] = field(default_factory=dict)  # generation config: eos ids, temperature, …
    figures: Mapping[str, Any] = field(default_factory=dict)  # figures of the run that made it
    versions: Mapping[str, str] = field(default_factory=dict)  # distribution -> version
    files: Mapping[str, str] = field(default_factory=dict)
    schema: int = SCHEMA  # version of this format

    @property
    def hash(self) -> str:
        """One hash over the contents: of the names and hashes of the files."""
        return paths.digest(dict(self.files))


def read_manifest(folder: Path) -> Manifest | None:
    """Return the folder's manifest, or None if it has none (a plain Hugging Face folder).

    Raises:
        UsageError: it can't be read, or a newer version wrote it.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(
            f"not JSON: {error}", code="CKPT-013", where=str(path), hint="Restore the file, or delete it to use the folder as it is."
        ) from error
    mappings = [item.name for item in fields(Manifest) if callable(item.default_factory)]
    schema = data.get("schema", 0) if isinstance(data, dict) else None
    if not isinstance(schema, int) or not all(isinstance(data.get(name, {}), dict) for name in mappings):
        hint = "Restore the file, or delete it to use the folder as it is."
        raise UsageError("not a manifest of a checkpoint", code="CKPT-040", where=str(path), hint=hint)
    if schema > SCHEMA:
        raise UsageError("written by a newer swift-core", code="CKPT-041", where=str(path), hint="pip install --upgrade swift-core")
    known = {item.name for item in fields(Manifest)}
    values = {key: value for key, value in data.items() if key in known}
    values["golden"] = tuple(values.get("golden") or ())
    return Manifest(**values)


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Hash the folder's files and write `swift.json`; call it last, inside `paths.atomic_folder`."""
    values = asdict(manifest) | {"files": hash_files(folder)}
    paths.write_json(folder / MANIFEST, values)
    return Manifest(**values)
