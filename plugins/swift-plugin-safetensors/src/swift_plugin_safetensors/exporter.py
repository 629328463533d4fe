"""Weights read and written one file at a time, and read again: every number must be the source's, rounded at most once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from swift_train.export_comparison import LoadedExport
from swift_train.weights import check_weights, read_header, weight_files

from swift_core.checkpoints.manifest import MANIFEST, checkpoint_format, quantization_of, read_config
from swift_core.contract.errors import SwiftError, UsageError
from swift_core.system import paths
from swift_plugin_safetensors.options import SafetensorsOptions

_ADAPTER = "adapter_model"
_INDEX = "model.safetensors.index.json"
_BESIDE = (
    "adapter_config.json",
    "README.md",
    "LICENSE*",
    "token*",
    "special_tokens_map.json",
    "*.jinja",
    "vocab*",
    "merges.txt",
    "*processor*",
)
_SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}  # those that are rounded; others are kept


class SafetensorsExporter:
    """Copies a checkpoint or an adapter; what is no weight comes as it is."""

    def __init__(self, options: SafetensorsOptions) -> None:
        self._options = options

    def export(self, checkpoint: Path, out: Path) -> Path:
        """Write the copy to the folder `out`, and return it.

        Raises:
            UsageError: no checkpoint, or one whose weights are packed and can't be rounded.
            SwiftError: a number does not fit into the type, or what was written is not what was read.
        """
        adapter = checkpoint_format(checkpoint) == "adapter"
        files = sorted(checkpoint.glob("*.safetensors")) if adapter else weight_files(checkpoint)
        if not files:
            raise UsageError("has no safetensors weights", where=str(checkpoint), hint="Pickled weights are not read: they can run code.")
        if not adapter:
            check_weights(checkpoint)
        headers = {file: read_header(file) for file in files}
        dtype = self._dtype(checkpoint)
        with paths.atomic_folder(out) as folder:
            for path in sorted(checkpoint.iterdir()):
                if path.is_file() and path.suffix != ".safetensors" and path.name not in (MANIFEST, _INDEX) and _wanted(path, adapter):
                    shutil.copyfile(path, folder / path.name)
            _say_dtype(folder / "config.json", dtype)
            with ExitStack() as stack:
                opened = {file: stack.enter_context(safe_open(file, "pt")) for file in files}
                places = {name: opened[file] for file, header in headers.items() for name in header}
                sizes = {name: _size(entry, dtype) for header in headers.values() for name, entry in header.items()}
                most = sum(sizes.values()) if adapter else int(self._options.shard_size * 1e9)  # PEFT reads one file
                groups = list(_groups(sizes, most))
                stem = _ADAPTER if adapter else "model"
                index = {}
                for number, names in enumerate(groups, 1):
                    name = f"{stem}.safetensors" if len(groups) == 1 else f"{stem}-{number:05d}-of-{len(groups):05d}.safetensors"
                    save_file({each: _rounded(places[each], each, dtype, checkpoint) for each in names}, folder / name, {"format": "pt"})
                    _check(folder / name, places, names, dtype, checkpoint)
                    index |= dict.fromkeys(names, name)
            if len(groups) > 1:
                paths.write_json(
                    folder / _INDEX, {"metadata": {"total_size": sum(sizes.values())}, "weight_map": dict(sorted(index.items()))}
                )
        return out

    @property
    def max_kl(self) -> float:
        """Nats a token that rounding once may lose."""
        return 1e-4 if self._options.type in ("auto", "float32") else 0.01

    def load(self, exported: Path) -> LoadedExport:
        """Load the checkpoint."""
        return LoadedExport(exported)

    def load_trusted(self, exported: Path) -> LoadedExport:
        """Load the checkpoint with the code that it brings."""
        return LoadedExport(exported, trust_remote_code=True)

    def _dtype(self, checkpoint: Path) -> torch.dtype | None:
        if self._options.type == "auto":
            return None
        if quantization_of(read_config(checkpoint)):
            hint = "Leave --type out to copy it as it is, or export the full-precision model."
            raise UsageError("the checkpoint is quantized: its weights can't be rounded", where=str(checkpoint), hint=hint)
        found: torch.dtype = getattr(torch, self._options.type)
        return found


def _wanted(path: Path, adapter: bool) -> bool:
    """Whether a file comes along: beside an adapter, what PEFT and the servers read, and nothing that training left there."""
    return not adapter or any(fnmatchcase(path.name, pattern) for pattern in _BESIDE)


def _say_dtype(config: Path, dtype: torch.dtype | None) -> None:
    if dtype is None or not config.is_file():
        return
    values = json.loads(config.read_text(encoding="utf-8"))
    key = "torch_dtype" if "torch_dtype" in values else "dtype"
    paths.write_json(config, values | {key: str(dtype).removeprefix("torch.")})


def _size(entry: Mapping[str, Any], dtype: torch.dtype | None) -> int:
    begin, end = entry["data_offsets"]
    old = _SIZES.get(entry["dtype"])
    return int(end - begin) if dtype is None or old is None else int(end - begin) // old * dtype.itemsize


def _groups(sizes: Mapping[str, int], most: int) -> Iterator[list[str]]:
    """Names in order, cut before a file would grow above `most` bytes."""
    group: list[str] = []
    total = 0
    for name in sorted(sizes):
        if group and total + sizes[name] > most:
            yield group
            group, total = [], 0
        group.append(name)
        total += sizes[name]
    yield group


def _rounded(source: Any, name: str, dtype: torch.dtype | None, checkpoint: Path) -> torch.Tensor:
    tensor: torch.Tensor = source.get_tensor(name)
    if dtype is None or not tensor.is_floating_point():
        return tensor
    found = tensor.to(dtype)
    if bool(torch.isfinite(tensor).all()) and not bool(torch.isfinite(found).all()):
        raise SwiftError(f"the weight {name} has numbers that float16 can't hold", where=str(checkpoint), hint="Use --type bfloat16.")
    return found


def _check(file: Path, places: Mapping[str, Any], names: Iterable[str], dtype: torch.dtype | None, checkpoint: Path) -> None:
    """Read the file again, and compare it with the source."""
    with safe_open(file, "pt") as written:
        for name in names:
            if not torch.equal(_bits(written.get_tensor(name)), _bits(_rounded(places[name], name, dtype, checkpoint))):
                raise SwiftError(f"the weight {name} was not written as it was read", where=str(file), hint="Is the disk sound?")


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor's bytes: a NaN is no number, but must come through too."""
    return tensor.contiguous().flatten().view(torch.uint8) if tensor.numel() else tensor
