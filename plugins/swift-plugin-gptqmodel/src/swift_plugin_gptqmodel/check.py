"""Checks of a run that need no engine: a C++ compiler, row lengths, and enough calibration tokens for GPTQ."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from swift_train.group_size import input_sizes

from swift_core.contract import Problem, Run

_COMPILERS = ("c++", "g++", "clang++")


def problems(run: Run) -> Iterator[Problem]:
    """Reject a machine without a C++ compiler, row lengths that can't be packed, and too few calibration tokens for GPTQ."""
    compiler = os.environ.get("CXX", "")
    if not any(shutil.which(name) for name in (compiler, *_COMPILERS) if name):
        hint = "Install one (apt-get install g++) or set CXX; the gptq and awq quantizers of compressed-tensors need none."
        yield Problem(
            code="QUANT-011", where="quantizer", message="GPTQModel compiles its kernels, and no C++ compiler was found", hint=hint
        )
    if run.model is None:
        return
    choice = run.part("quantizer")
    widths = input_sizes(Path(run.model.path), choice.options["skip"])
    if odd := [name for name, width in widths.items() if width % 32]:
        message = f"rows of {widths[odd[0]]} weights can't be packed ({odd[0]}): the row length must be a multiple of 32"
        yield Problem(code="QUANT-012", where="skip", message=message, hint="Exclude these layers (--skip NAME), or use another quantizer.")
    tokens, widest = int(run.options["calibration"]["tokens"]), max(widths.values(), default=0)
    if choice.name == "gptq-native" and tokens < widest:
        message = f"GPTQ needs at least {widest} calibration tokens, the inputs of the widest layer, and has {tokens}"
        hint = f"Use several times as many: --calibration.tokens {8 * widest}."
        yield Problem(code="QUANT-013", where="calibration.tokens", message=message, hint=hint)
