"""What is wrong with a run, found without the engine: no compiler for its kernels, and too few rows for what GPTQ solves."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from swift_train.group_size import input_sizes

from swift_core.contract.run import Run
from swift_core.contract.specs import Problem

_COMPILERS = ("c++", "g++", "clang++")


def problems(run: Run) -> Iterator[Problem]:
    """Refuse a machine without a C++ compiler, sizes that can't be packed, and a calibration that leaves GPTQ's equations open."""
    asked = os.environ.get("CXX", "")
    if not any(shutil.which(name) for name in (asked, *_COMPILERS) if name):
        hint = "Install one (apt-get install g++), or name yours in the variable CXX; compressed-tensors' gptq and awq need none."
        yield Problem(where="quantizer", message="GPTQModel compiles its kernels, and there is no C++ compiler here", hint=hint)
    if run.model is None:
        return
    choice = run.part("quantizer")
    widths = input_sizes(Path(run.model.path), choice.options["skip"])
    if odd := [name for name, width in widths.items() if width % 32]:
        message = f"rows of {widths[odd[0]]} weights can't be packed ({odd[0]}): 32 must divide them"
        yield Problem(where="skip", message=message, hint="Leave those layers whole: --skip NAME; or take a quantizer that need not pack.")
    tokens, widest = int(run.options["calibration"]["tokens"]), max(widths.values(), default=0)
    if choice.name == "gptq-native" and tokens < widest:
        message = f"GPTQ solves for {widest} unknowns a layer, which {tokens} tokens leave open"
        hint = f"Take several times as many: --calibration.tokens {8 * widest}."
        yield Problem(where="calibration.tokens", message=message, hint=hint)
