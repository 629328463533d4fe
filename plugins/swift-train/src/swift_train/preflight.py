"""Checks before a worker is started, without importing torch: problems that the worker would otherwise only find after loading."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract import Problem, SwiftError, suggestion
from swift_train.custom_template import bundled_templates
from swift_train.resume import candidates
from swift_train.strategy_checks import kind_of

if TYPE_CHECKING:
    from swift_core.contract import Run

_FLASH: Mapping[str, tuple[str, str]] = {
    "flash_attention_2": ("flash_attn", "pip install flash-attn --no-build-isolation"),
    "flash_attention_3": (
        "flash_attn_interface",
        "Build flash-attention's hopper/ folder, or use --attention flash_attention_2 or sdpa.",
    ),
    "flash_attention_4": ("flash_attn.cute", "pip install flash-attn-4"),
}
_ATTENTION = ("auto", "eager", "sdpa", "flex_attention", *_FLASH)


def problems(run: Run) -> Iterator[Problem]:
    """Yield the problems with the attention implementation, device, compiler and the files named in the options."""
    options = run.options
    device = _kind(str(options.get("device", "auto")))
    if options.get("device", "auto").startswith("cuda") and _cpu_build():
        hint = "Install a build of torch for this GPU (https://pytorch.org/get-started), or omit --device."
        yield Problem(code="TRAIN-045", where="device", message="the installed torch is a CPU build, which has no CUDA", hint=hint)
    if "attention" in options:
        yield from _attention(str(options["attention"]), device, str(options.get("dtype", "auto")), trains="task" in run.parts)
    if "task" in run.parts:
        yield from _training(run, run.part("task").options, device)


def _attention(name: str, device: str, dtype: str, *, trains: bool) -> Iterator[Problem]:
    other = "Use --attention sdpa, or omit it."
    if "/" in name:
        message = f"'{name}' is a kernel from a hub, whose code is not executed"
        yield Problem(code="TRAIN-046", where="attention", message=message, hint=other)
    elif name not in _ATTENTION:
        hint = suggestion(name, _ATTENTION) or f"Known: {', '.join(_ATTENTION)}."
        yield Problem(code="TRAIN-047", where="attention", message=f"there is no attention implementation '{name}'", hint=hint)
    elif name in _FLASH and device == "cpu":
        yield Problem(code="TRAIN-048", where="attention", message=f"{name} needs an accelerator, and this run uses the CPU", hint=other)
    elif name in _FLASH and device != "npu" and not _installed(_FLASH[name][0]):
        message = f"{name} needs the package {_FLASH[name][0]}, which is not installed"
        yield Problem(code="TRAIN-049", where="attention", message=message, hint=f"{_FLASH[name][1]}; or {other[0].lower()}{other[1:]}")
    elif name in _FLASH and dtype == "float32":
        yield Problem(
            code="TRAIN-050", where="attention", message=f"{name} supports only bfloat16 and float16", hint="Use --dtype bfloat16."
        )
    elif name == "flex_attention" and device == "cpu" and trains:
        yield Problem(code="TRAIN-051", where="attention", message="flex_attention has no backward pass on a CPU", hint=other)


def _training(run: Run, task: Mapping[str, Any], device: str) -> Iterator[Problem]:
    if task.get("compile") and device == "cpu" and not _compiler():
        hint = "Install g++ (apt-get install g++), or omit --compile."
        yield Problem(
            code="TRAIN-052", where="compile", message="torch.compile needs a C++ compiler on a CPU, and none was found", hint=hint
        )
    template = task.get("chat_template")
    if template and template not in bundled_templates():
        yield from _file(
            Path(template), "chat_template", f"a file with a chat template (Jinja), or one of: {', '.join(bundled_templates())}"
        )
    if media := run.options.get("data", {}).get("media_folder"):
        yield from _file(Path(media), "data.media_folder", "a folder", folder=True)
    resume = run.options.get("resume") or ""
    if name := resume.get("name", "") if isinstance(resume, Mapping) else resume:
        try:
            candidates(Path(name))
        except SwiftError as error:
            yield Problem(code=error.code, where="resume", message=f"'{name}': {error.message}", hint=error.hint)


def _file(path: Path, where: str, what: str, *, folder: bool = False) -> Iterator[Problem]:
    if not (path.is_dir() if folder else path.is_file()):
        yield Problem(code="TRAIN-053", where=where, message=f"there is no {'folder' if folder else 'file'} '{path}'", hint=f"Pass {what}.")


def _kind(device: str) -> str:
    """Return the kind of device as far as it is known without torch ('' if unknown): a CPU build of torch has no other."""
    kind = kind_of(device)
    return "cpu" if _cpu_build() and kind in ("cuda", "rocm") else "" if kind == "cpu" and device == "auto" and not _cpu_build() else kind


def _cpu_build() -> bool:
    try:
        return importlib.metadata.version("torch").endswith("+cpu")
    except importlib.metadata.PackageNotFoundError:
        return False


def float8(run: Run) -> Iterator[Problem]:
    """Yield what a run in float8 lacks: the library, or layers of its own."""
    if not run.part("task").options.get("fp8"):
        return
    if not _installed("torchao"):
        yield Problem(
            code="TRAIN-222", where="fp8", message="float8 needs torchao, which is not installed", hint="pip install 'torchao>=0.17'"
        )
    if "quantizer" in run.parts:
        yield Problem(
            code="TRAIN-224", where="fp8", message="quantized weights have kernels of their own", hint="Leave the quantizer or --fp8 out."
        )


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _compiler() -> bool:
    return any(shutil.which(name) for name in (os.environ.get("CXX"), "g++", "clang++") if name)
