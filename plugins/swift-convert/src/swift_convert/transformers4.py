"""Checkpoint conversion for engines that support only transformers 4, which silently ignores keys of the newer config.json format.

Since transformers 5, rotary settings are in `rope_parameters`, and `torch_dtype` is `dtype`: an older engine would compute wrong angles.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from swift_convert.quantize import calibration_rows
from swift_core.checkpoints import MANIFEST, Checkpoint
from swift_core.contract import UsageError
from swift_core.system import write_json

_LEFT_OUT = ("config.json", "model.safetensors.index.json", MANIFEST)


def older_view(checkpoint: Path, folder: Path) -> Path:
    """Fill a folder with links to a checkpoint's files and a config.json for transformers 4; return the folder.

    Raises:
        UsageError: the config can't be expressed in the older format.
    """
    config = dict(Checkpoint.at(checkpoint).config)
    rotary = dict(config.pop("rope_parameters", None) or {})
    if any(isinstance(value, dict) for value in rotary.values()):
        problem = "rotary settings that differ between layers are not supported by transformers 4"
        raise UsageError(
            problem, code="CONVERT-029", where=str(checkpoint / "config.json"), hint="Use a quantizer that supports transformers 5."
        )
    if "rope_theta" in rotary:
        config["rope_theta"] = rotary.pop("rope_theta")
    if rotary.get("rope_type", "default") != "default":
        config["rope_scaling"] = rotary
    if "dtype" in config:
        config["torch_dtype"] = config.pop("dtype")
    folder.mkdir(parents=True, exist_ok=True)
    for path in checkpoint.iterdir():
        if path.is_file() and path.name != "config.json":
            (folder / path.name).symlink_to(path.resolve())
    write_json(folder / "config.json", config)
    return folder


def calibration(file: Path | None, checkpoint: Path) -> list[list[int]]:
    """`swift_convert.quantize.calibration_rows` with tokenizer.json only, since transformers 4 may not support a newer tokenizer.

    Raises:
        UsageError: there are no rows.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    return calibration_rows(file, lambda text: tokenizer.encode(text).ids)


def as_the_source(source: Path, out: Path, dtype: str) -> None:
    """Restore the config, tokenizer and template of the source in the output of an older engine, and keep its quantization config.

    Args:
        source: the checkpoint that was quantized.
        out: the folder that the engine wrote.
        dtype: the dtype of the weights that are not quantized.
    """
    quantization = Checkpoint.at(out).config["quantization_config"]
    for path in source.iterdir():
        if path.is_file() and path.suffix != ".safetensors" and path.name not in _LEFT_OUT:
            shutil.copyfile(path, out / path.name)
    config = {key: value for key, value in Checkpoint.at(source).config.items() if key != "torch_dtype"}
    write_json(out / "config.json", {**config, "dtype": dtype, "quantization_config": quantization})
