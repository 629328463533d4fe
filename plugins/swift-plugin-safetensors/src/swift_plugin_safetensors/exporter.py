"""Copying of safetensors weights, one file at a time; each file is read back and compared with its source."""

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
from swift_formats.weights import read_header, weight_files
from swift_train.export_comparison import LoadedExport
from swift_train.weights import check_weights

from swift_core.checkpoints import MANIFEST, Checkpoint
from swift_core.contract import SwiftError, UsageError
from swift_core.system import paths
from swift_plugin_safetensors.options import SafetensorsOptions

_ADAPTER = "adapter_model"
_INDEX = "model.safetensors.index.json"
_COPIED = (
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
_SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}  # bytes per value of the dtypes that are converted; others are copied


class SafetensorsExporter:
    """The `safetensors` exporter; files other than weights and config.json are copied unchanged."""

    def __init__(self, options: SafetensorsOptions) -> None:
        self._options = options

    def export(self, checkpoint: Path, out: Path) -> Path:
        """Write the copy to the folder `out`, and return it.

        Raises:
            UsageError: there are no safetensors weights, or they are quantized and a dtype was requested.
            SwiftError: a value is out of range for the dtype, or the weights written differ from those read.
        """
        adapter = Checkpoint.at(checkpoint).spec.adapter
        files = sorted(checkpoint.glob("*.safetensors")) if adapter else weight_files(checkpoint)
        if not files:
            raise UsageError(
                "no safetensors weights",
                code="EXPORT-060",
                where=str(checkpoint),
                hint="Pickled weights are not supported.",
            )
        if not adapter:
            check_weights(checkpoint)
        headers = {file: read_header(file) for file in files}
        dtype = self._dtype(checkpoint)
        with paths.atomic_folder(out) as folder:
            for path in sorted(checkpoint.iterdir()):
                if path.is_file() and path.suffix != ".safetensors" and path.name not in (MANIFEST, _INDEX) and _is_copied(path, adapter):
                    shutil.copyfile(path, folder / path.name)
            _set_dtype(folder / "config.json", dtype)
            with ExitStack() as stack:
                opened = {file: stack.enter_context(safe_open(file, "pt")) for file in files}
                readers = {name: opened[file] for file, header in headers.items() for name in header}
                sizes = {name: _size(entry, dtype) for header in headers.values() for name, entry in header.items()}
                maximum = sum(sizes.values()) if adapter else int(self._options.shard_size * 1e9)  # PEFT reads one file
                groups = list(_groups(sizes, maximum))
                stem = _ADAPTER if adapter else "model"
                index: dict[str, str] = {}
                for number, names in enumerate(groups, 1):
                    name = f"{stem}.safetensors" if len(groups) == 1 else f"{stem}-{number:05d}-of-{len(groups):05d}.safetensors"
                    save_file({each: _converted(readers[each], each, dtype, checkpoint) for each in names}, folder / name, {"format": "pt"})
                    _check(folder / name, readers, names, dtype, checkpoint)
                    index |= dict.fromkeys(names, name)
            if len(groups) > 1:
                paths.write_json(
                    folder / _INDEX, {"metadata": {"total_size": sum(sizes.values())}, "weight_map": dict(sorted(index.items()))}
                )
        return out

    @property
    def max_kl(self) -> float:
        """Maximum mean KL divergence from the source, in nats per token."""
        return 1e-4 if self._options.type in ("auto", "float32") else 0.01

    def load(self, exported: Path) -> LoadedExport:
        """Load the checkpoint for verification."""
        return LoadedExport(exported)

    def load_trusted(self, exported: Path) -> LoadedExport:
        """Load the checkpoint for verification, running its own Python code."""
        return LoadedExport(exported, trust_remote_code=True)

    def _dtype(self, checkpoint: Path) -> torch.dtype | None:
        if self._options.type == "auto":
            return None
        if Checkpoint.at(checkpoint).quantization:
            hint = "Omit --type to copy it unchanged, or export the full-precision model."
            raise UsageError(
                "the weights of a quantized checkpoint can't be converted to another dtype",
                code="EXPORT-061",
                where=str(checkpoint),
                hint=hint,
            )
        found: torch.dtype = getattr(torch, self._options.type)
        return found


def _is_copied(path: Path, adapter: bool) -> bool:
    """Return True if a file is copied; for an adapter, only what PEFT and servers read, not the state of its training."""
    return not adapter or any(fnmatchcase(path.name, pattern) for pattern in _COPIED)


def _set_dtype(config: Path, dtype: torch.dtype | None) -> None:
    if dtype is None or not config.is_file():
        return
    values = json.loads(config.read_text(encoding="utf-8"))
    key = "torch_dtype" if "torch_dtype" in values else "dtype"
    paths.write_json(config, values | {key: str(dtype).removeprefix("torch.")})


def _size(entry: Mapping[str, Any], dtype: torch.dtype | None) -> int:
    begin, end = entry["data_offsets"]
    old = _SIZES.get(entry["dtype"])
    return int(end - begin) if dtype is None or old is None else int(end - begin) // old * dtype.itemsize


def _groups(sizes: Mapping[str, int], maximum: int) -> Iterator[list[str]]:
    """Yield the tensor names of each file in sorted order, with at most `maximum` bytes per file unless one tensor is larger."""
    group: list[str] = []
    total = 0
    for name in sorted(sizes):
        if group and total + sizes[name] > maximum:
            yield group
            group, total = [], 0
        group.append(name)
        total += sizes[name]
    yield group


def _converted(source: Any, name: str, dtype: torch.dtype | None, checkpoint: Path) -> torch.Tensor:
    tensor: torch.Tensor = source.get_tensor(name)
    if dtype is None or not tensor.is_floating_point():
        return tensor
    found = tensor.to(dtype)
    if bool(torch.isfinite(tensor).all()) and not bool(torch.isfinite(found).all()):
        raise SwiftError(
            f"the weight {name} has values that float16 can't represent",
            code="EXPORT-062",
            where=str(checkpoint),
            hint="Use --type bfloat16.",
        )
    return found


def _check(file: Path, readers: Mapping[str, Any], names: Iterable[str], dtype: torch.dtype | None, checkpoint: Path) -> None:
    """Read the file back and compare it with the source."""
    with safe_open(file, "pt") as written:
        for name in names:
            if not torch.equal(_bits(written.get_tensor(name)), _bits(_converted(readers[name], name, dtype, checkpoint))):
                raise SwiftError(
                    f"the weight {name} written differs from the one read",
                    code="EXPORT-063",
                    where=str(file),
                    hint="Check the disk for errors.",
                )


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """Return the tensor's bytes, so that NaNs compare equal."""
    return tensor.contiguous().flatten().view(torch.uint8) if tensor.numel() else tensor
