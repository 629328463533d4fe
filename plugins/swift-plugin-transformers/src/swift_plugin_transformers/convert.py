"""Convert a GGUF file to a safetensors checkpoint, for training and for engines that don't read GGUF.

The data type is the smallest that preserves the file's precision: float32 or float16 if its matrices have that type, else bfloat16. The
rounding error of bfloat16 is about a hundred times smaller than that of the quantization to 2 to 8 bits.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_formats.files import copy_licence
from swift_train.roles import Loading

from swift_core.checkpoints import Checkpoint, Manifest, family_of, write_manifest
from swift_core.contract import ModelFamily, UsageError
from swift_core.system import atomic_folder, check_free, output_path

if TYPE_CHECKING:
    from swift_core.contract import Run
    from swift_core.runs import Report


def convert(run: Run, report: Report) -> tuple[Path, dict[str, Any]]:
    """Write the run's GGUF model as a safetensors checkpoint (a job).

    Returns:
        The folder, and the metrics `dtype` and `parameters` (their number).

    Raises:
        UsageError: the run's model is not a GGUF file, or the output exists.
    """
    from swift_train.save_model import versions, write_model
    from swift_train.template_facts import generation_facts, golden, template_facts
    from transformers import GenerationConfig

    from swift_plugin_transformers.gguf_files import gguf_file, read_gguf
    from swift_plugin_transformers.gguf_tokenizer import eos_token_ids
    from swift_plugin_transformers.loader import TransformersLoader

    out, overwrite = output_path(run, report.folder), bool(run.options.get("overwrite"))
    check_free(out, overwrite=overwrite)
    file = gguf_file(Path(run.model.path)) if run.model else None
    if run.model is None or file is None:
        raise UsageError(
            "not a GGUF file",
            code="MODEL-007",
            where=run.model.path if run.model else "model",
            hint="The checkpoint needs no conversion; use it as it is.",
        )
    report.progress("convert", 0, 3, unit="stages")
    reader = read_gguf(file)
    dtype = lossless_dtype((tensor.tensor_type.name, len(tensor.shape)) for tensor in reader.tensors)
    report.progress("convert", 1, 3, unit="stages")
    loaded = TransformersLoader().load(file, family_of(run.model), Loading(device="cpu", dtype=dtype))
    report.progress("convert", 2, 3, unit="stages")
    model: Any = loaded.model
    model.generation_config = GenerationConfig(eos_token_id=eos_token_ids(reader) or None)  # type: ignore[no-untyped-call]
    model.config.__dict__.pop("_model_name_or_path", None)  # the model name in the file's metadata, which is not a path
    source = Checkpoint.at(file.parent).manifest
    with atomic_folder(out, overwrite=overwrite) as folder:
        write_model(folder, model, loaded.processor)
        copy_licence(file.parent, folder)
        write_manifest(
            folder,
            Manifest(
                origin=run.model.reference,
                revision=source.revision if source else "",
                licence=source.licence if source else "",
                base={"reference": run.model.reference, "hash": run.model.hash, "file": file.name},
                family=run.model.family or _family(model.config.to_dict()),
                dtype=dtype,
                template=template_facts(loaded.processor),
                golden=golden(loaded.processor),
                generation=generation_facts(model, loaded.processor),
                versions=versions(run, "gguf"),
            ),
        )
    report.progress("convert", 3, 3, unit="stages")
    return out, {"dtype": dtype, "parameters": sum(parameter.numel() for parameter in model.parameters())}


def lossless_dtype(tensors: Iterable[tuple[str, int]]) -> str:
    """Return the data type that preserves a file's matrices, from (GGUF type, dimensions) of its tensors. Norms are always float32."""
    kinds = {kind for kind, dimensions in tensors if dimensions > 1}
    return "float32" if "F32" in kinds else "float16" if "F16" in kinds else "bfloat16"


def _family(config: dict[str, Any]) -> str:
    from swift_core.checkpoints import UNKNOWN, identify
    from swift_core.plugins import registry

    return (identify(config, registry().all(ModelFamily)) or UNKNOWN).name
