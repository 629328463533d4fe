"""Export of a checkpoint, or of an adapter, as a GGUF file."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
from swift_formats.files import copy_licence

from swift_core.checkpoints import Checkpoint
from swift_core.system import atomic_folder
from swift_plugin_gguf.adapter import plan_adapter, write_adapter
from swift_plugin_gguf.metadata import Value, model_keys
from swift_plugin_gguf.options import GgufOptions
from swift_plugin_gguf.plan import Plan, make_plan
from swift_plugin_gguf.reload import ReloadMixin
from swift_plugin_gguf.tokens import Tokens, read_tokens
from swift_plugin_gguf.weights import TYPES, Reader, resolve_type, tensor_bytes, tensor_type

_FLOAT = np.dtype(np.float32)  # the nominal dtype; the block type is passed as raw_dtype


class GgufExporter(ReloadMixin):
    """The `gguf` exporter, which keeps one tensor in memory at a time."""

    def __init__(self, options: GgufOptions) -> None:
        self._options = options

    def export(self, checkpoint: Path, out: Path) -> Path:
        """Write the GGUF file and the licence into the folder `out`; for an adapter, only the adapter is written.

        Returns:
            The path of the file; of the first file if there are several.

        Raises:
            UsageError: GGUF can't represent the architecture, the tokenizer or a setting of the model.
            SwiftError: a weight is not finite, or out of range for the type.
        """
        if Checkpoint.at(checkpoint).spec.adapter:
            adapter = plan_adapter(checkpoint, self._options)
            with atomic_folder(out) as folder:
                name = write_adapter(adapter, self._options, folder).name
                copy_licence(adapter.base, folder)
            return out / name
        plan, tokens = prepare(checkpoint, self._options)
        with atomic_folder(out) as folder:
            write(plan, tokens, self._options, folder)
            copy_licence(checkpoint, folder)
        return sorted(out.glob("*.gguf"))[0]


def prepare(checkpoint: Path, options: GgufOptions) -> tuple[Plan, Tokens]:
    """Plan the tensors and read the tokenizer, without reading a weight.

    Raises:
        UsageError: GGUF can't represent the architecture, the tokenizer or a setting of the model.
    """
    plan = make_plan(checkpoint)
    model_keys(plan.config, plan.layout, checkpoint)
    return plan, read_tokens(checkpoint, plan.vocabulary, options.pre_tokenizer)


def write(plan: Plan, tokens: Tokens, options: GgufOptions, folder: Path) -> None:
    """Write the GGUF file into `folder`; several files if `options.shard_size` is set."""
    kind = resolve_type(options.type, plan)
    path = folder / f"{options.model_name}-{kind.upper()}.gguf"
    writer = gguf.GGUFWriter(path, plan.layout.arch, split_max_size=int(options.shard_size * 1e9))
    keys, vectors = model_keys(plan.config, plan.layout, plan.checkpoint)
    _add_general(writer, plan, options.model_name, kind)
    for key, value in keys.items():
        _add(writer, f"{plan.layout.arch}.{key}", value)
    _add_tokens(writer, tokens)
    for name, vector in vectors.items():
        writer.add_tensor_info(name, vector.shape, vector.dtype, vector.nbytes)
    types = {target.name: tensor_type(target, kind) for target in plan.targets}
    for target in plan.targets:
        type_ = types[target.name]
        writer.add_tensor_info(target.name, target.shape, _FLOAT, tensor_bytes(target, type_), raw_dtype=type_)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for vector in vectors.values():
        writer.write_tensor_data(vector)
    with Reader(plan) as reader:
        for target in plan.targets:
            writer.write_tensor_data(reader.read(target, types[target.name]))
    writer.close()


def _add_general(writer: gguf.GGUFWriter, plan: Plan, name: str, kind: str) -> None:
    manifest = Checkpoint.at(plan.checkpoint).manifest
    writer.add_type("model")
    writer.add_name(name)
    if manifest and manifest.licence:
        writer.add_license(manifest.licence)
    writer.add_file_type(TYPES[kind][1])
    if kind not in ("f32", "f16", "bf16"):
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _add_tokens(writer: gguf.GGUFWriter, tokens: Tokens) -> None:
    writer.add_tokenizer_model(tokens.model)
    writer.add_tokenizer_pre(tokens.pre)
    writer.add_token_list(tokens.tokens)
    writer.add_token_types(tokens.types)
    if tokens.scores:
        writer.add_token_scores(tokens.scores)
    if tokens.merges:
        writer.add_token_merges(tokens.merges)
    for name, number in tokens.ids.items():
        writer.add_uint32(f"tokenizer.ggml.{name}_token_id", number)
    writer.add_add_bos_token(tokens.add_bos)
    writer.add_add_eos_token(tokens.add_eos)
    writer.add_add_space_prefix(tokens.add_space_prefix)
    if tokens.template:
        writer.add_chat_template(tokens.template)


def _add(writer: gguf.GGUFWriter, key: str, value: Value) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    else:
        writer.add_string(key, value)
