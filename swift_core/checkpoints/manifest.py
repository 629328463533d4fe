"""A checkpoint: a folder in the ecosystem's own layout, and beside its files one `swift.json`, the manifest.

The manifest says where the checkpoint came from and how to use it; everything else can read the folder without it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from swift_core.checkpoints.files import MANIFEST, hash_files
from swift_core.contract import UsageError
from swift_core.system import paths

SCHEMA = 1


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
    tuner: Mapping[str, Any] = field(default_factory=dict)  # name and options of the tuner
    quantizer: Mapping[str, Any] = field(default_factory=dict)  # name and options of the quantizer
    loader: Mapping[str, Any] = field(default_factory=dict)  # name and options of what loaded the model that this was made of
    template: Mapping[str, Any] = field(default_factory=dict)  # chat template's hash, stop tokens, default system prompt
    golden: tuple[Mapping[str, Any], ...] = ()  # conversations {name, messages, tools} with the token `ids` they must render to
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
    mappings = [item.name for item in fields(Manifest) if item.default_factory is dict]
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
