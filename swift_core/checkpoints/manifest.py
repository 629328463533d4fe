"""A checkpoint: a folder in the ecosystem's own layout, and beside its files one `swift.json`, the manifest.

The manifest says where the checkpoint came from and how to use it; everything else can read the folder without it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from swift_core.contract import Progress, UsageError
from swift_core.system import paths, sha256_of

MANIFEST = "swift.json"
SCHEMA = 1
_HASHED = (".safetensors", ".gguf", ".onnx", ".data", ".json", ".jinja", ".model", ".txt")  # .data: the weights of an .onnx
_OPENVINO = "openvino_"  # how the names of all files in OpenVINO's format begin; their weights are .bin, and no pickles

_TOKENIZER = ("tokenizer*", "*.model", "vocab.*", "merges.txt", "special_tokens_map.json", "added_tokens.json", "chat_template.*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What `swift.json` holds. `base` is {reference, revision, hash, path} of what this was made from; `files` are SHA-256 by name."""

    kind: Literal["model", "adapter", "dataset"] = "model"
    origin: str = ""  # the reference it was fetched from, or the verb that made it
    revision: str = ""
    licence: str = ""
    base: Mapping[str, str] = field(default_factory=dict)
    family: str = ""
    dtype: str = ""
    tuner: Mapping[str, Any] = field(default_factory=dict)
    quantizer: Mapping[str, Any] = field(default_factory=dict)
    loader: Mapping[str, Any] = field(default_factory=dict)  # name and options of what loaded the model that this was made of
    template: Mapping[str, Any] = field(default_factory=dict)  # chat template's hash, stop tokens, default system prompt
    golden: tuple[Mapping[str, Any], ...] = ()  # conversations {name, messages, tools} with the token `ids` they must render to
    generation: Mapping[str, Any] = field(default_factory=dict)  # generation config: eos ids, temperature, …
    figures: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    schema: int = SCHEMA

    @property
    def hash(self) -> str:
        """One hash over the contents: of the names and hashes of the files."""
        return paths.digest(dict(self.files))


def read_manifest(folder: Path) -> Manifest | None:
    """The folder's manifest, or None where it has none (a plain Hugging Face folder).

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
            f"not JSON: {error}", where=str(path), hint="Restore the file, or delete it to use the folder as it is."
        ) from error
    mappings = [item.name for item in fields(Manifest) if item.default_factory is dict]
    schema = data.get("schema", 0) if isinstance(data, dict) else None
    if not isinstance(schema, int) or not all(isinstance(data.get(name, {}), dict) for name in mappings):
        hint = "Restore the file, or delete it to use the folder as it is."
        raise UsageError("not a manifest of a checkpoint", where=str(path), hint=hint)
    if schema > SCHEMA:
        raise UsageError("written by a newer swift-core", where=str(path), hint="pip install --upgrade swift-core")
    known = {item.name for item in fields(Manifest)}
    values = {key: value for key, value in data.items() if key in known}
    values["golden"] = tuple(values.get("golden") or ())
    return Manifest(**values)


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Hash the folder's files and write `swift.json`; call it last, inside `paths.atomic_folder`."""
    values = asdict(manifest) | {"files": hash_files(folder)}
    paths.write_json(folder / MANIFEST, values)
    return Manifest(**values)


def hash_files(folder: Path, progress: Progress | None = None) -> dict[str, str]:
    """SHA-256 of what makes up the checkpoint, by relative name; run folders and checkpoints that lie in it are no part of it."""
    others = {path.parent for name in ("run.json", MANIFEST) for path in folder.rglob(name)} - {folder}
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != MANIFEST and not others & set(path.parents))
    found = (path for path in files if path.suffix in _HASHED or path.name.startswith(_OPENVINO))
    return {path.relative_to(folder).as_posix(): value for path, value in sha256_of(found, progress).items()}


def content_hash(folder: Path, progress: Progress | None = None) -> str:
    """The manifest's hash, or one worked out for a folder that has none; big files are read once, and again where they have changed."""
    manifest = read_manifest(folder)
    if manifest and manifest.files and not _replaced(folder, manifest, progress):
        return manifest.hash
    return paths.digest(hash_files(folder, progress))


def _replaced(folder: Path, manifest: Manifest, progress: Progress | None) -> bool:
    """Whether weights are others than the manifest says; only files that are newer than it are read."""
    written = (folder / MANIFEST).stat().st_mtime
    weights = [folder / name for name in manifest.files if name.endswith((".safetensors", ".gguf"))]
    newer = [file for file in weights if file.is_file() and file.stat().st_mtime > written]
    return any(value != manifest.files[file.relative_to(folder).as_posix()] for file, value in sha256_of(newer, progress).items())


def quantization_of(config: Mapping[str, Any]) -> str:
    """What quantized a checkpoint, as its `config.json` says ('?' where it says no method); empty where the weights are whole."""
    found = config.get("quantization_config")
    return str(found.get("quant_method") or "?") if found else ""


def copy_licence(source: Path, target: Path) -> None:
    """Put the licence of a checkpoint beside what was made of it."""
    for file in source.glob("LICENSE*"):
        shutil.copyfile(file, target / file.name)


def copy_tokenizer(source: Path, target: Path) -> None:
    """Put a checkpoint's tokenizer and template beside weights that were made of it, as they are: engines write them as they read them."""
    for pattern in _TOKENIZER:
        for file in source.glob(pattern):
            shutil.copyfile(file, target / file.name)


def checkpoint_format(folder: Path) -> Literal["adapter", "safetensors", "gguf", "openvino", "onnx"]:
    """What kind of weights a folder holds.

    Raises:
        UsageError: not a checkpoint, no weights, or pickled ones, which can run code when they are read.
    """
    if not folder.is_dir():
        raise UsageError("not a folder", where=str(folder), hint="Name a checkpoint folder or a hub reference such as hf:org/name.")
    if (folder / "adapter_config.json").is_file():
        return "adapter"
    names = sorted(path.name for path in folder.iterdir())
    if any(name.endswith(".safetensors") for name in names):
        if "config.json" not in names and "adapter_model.safetensors" in names:
            hint = "Copy adapter_config.json from the adapter's page into the folder."
            raise UsageError("has an adapter's weights but no adapter_config.json", where=str(folder), hint=hint)
        if "config.json" not in names:
            raise UsageError(
                "has weights but no config.json", where=str(folder), hint="Copy config.json from the model's page into the folder."
            )
        return "safetensors"
    if any(name.endswith(".gguf") for name in names):
        return "gguf"
    if "openvino_model.xml" in names:
        return "openvino"
    if any(name.endswith(".onnx") for name in names):
        return "onnx"
    pickled = [name for name in names if name.endswith((".bin", ".pt", ".pth", ".ckpt", ".pkl"))]
    if pickled:
        raise UsageError(
            f"only pickled weights here ({', '.join(pickled[:3])}): they can run code when they are read, so they are refused",
            where=str(folder),
            hint="Get the safetensors files of the model, or convert them where you trust their source.",
        )
    raise UsageError(
        "no weights here (*.safetensors)",
        where=str(folder),
        hint="Is this the right folder? A checkpoint has config.json and *.safetensors.",
    )


def read_config(folder: Path) -> dict[str, Any]:
    """The folder's `config.json`, or {} where it has none."""
    path = folder / "config.json"
    if not path.is_file():
        return {}
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"not JSON: {error}", where=str(path), hint="Fetch the file again.") from error
    return config if isinstance(config, dict) else {}
