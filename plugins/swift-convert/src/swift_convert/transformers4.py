"""Checkpoints of our time for engines that ended with transformers 4, which reads an older config.json and silently ignores the new keys.

Rotary settings moved into `rope_parameters`, and `torch_dtype` became `dtype`: an engine that does not know it computes with other angles.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from swift_convert.quantize import calibration_rows
from swift_core.checkpoints.manifest import MANIFEST, read_config
from swift_core.contract.errors import UsageError
from swift_core.system.paths import write_json

_LEFT_OUT = ("config.json", "model.safetensors.index.json", MANIFEST)


def older_view(checkpoint: Path, folder: Path) -> Path:
    """Fill a folder with links to a checkpoint's files, and a config.json that transformers 4 understands; returns the folder.

    Raises:
        UsageError: the older form can't say what the config says.
    """
    config = read_config(checkpoint)
    rotary = dict(config.pop("rope_parameters", None) or {})
    if any(isinstance(value, dict) for value in rotary.values()):
        problem = "its layers have rotary settings of their own, which transformers 4 can't be told"
        raise UsageError(problem, where=str(checkpoint / "config.json"), hint="Take a quantizer that is still maintained.")
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
    """`quantizing.calibration_rows` by the tokenizer's file alone: transformers 4 need not know a newer tokenizer.

    Raises:
        UsageError: there are no rows.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    return calibration_rows(file, lambda text: tokenizer.encode(text).ids)


def as_the_source(source: Path, out: Path, dtype: str) -> None:
    """Give what an older engine wrote into `out` the config, tokenizer and template of its source, and keep its quantization.

    Args:
        source: the checkpoint that was quantized.
        out: what the engine wrote.
        dtype: the type of what it left whole.
    """
    quantization = read_config(out)["quantization_config"]
    for path in source.iterdir():
        if path.is_file() and path.suffix != ".safetensors" and path.name not in _LEFT_OUT:
            shutil.copyfile(path, out / path.name)
    config = {key: value for key, value in read_config(source).items() if key != "torch_dtype"}
    write_json(out / "config.json", {**config, "dtype": dtype, "quantization_config": quantization})
