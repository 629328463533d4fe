"""GGUF export, for llama.cpp, Ollama and every other reader of GGUF files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from swift_core import hookimpl
from swift_core.contract import Engine, ExporterSpec, Problem, Ref

if TYPE_CHECKING:
    from swift_core.contract import Run

_ENGINES = (Engine(requirements=("gguf>=0.17", "numpy>=1.26", "safetensors>=0.5", "torch>=2.6")),)
_NAMES = ("gguf", "ollama")


@hookimpl
def swift_exporters() -> list[ExporterSpec]:
    """Return the exporters: a GGUF file, an Ollama model, split or merged GGUF files, and an importance matrix."""
    return [
        ExporterSpec(
            name="gguf",
            summary="A GGUF file with 32 to 4 bits per weight, for llama.cpp and compatible readers",
            also=("llama.cpp",),
            factory=Ref("swift_plugin_gguf.exporter:GgufExporter"),
            options=Ref("swift_plugin_gguf.options:GgufOptions"),
            engines=_ENGINES,
            reads=("safetensors", "adapter"),
            writes="gguf",
        ),
        ExporterSpec(
            name="ollama",
            summary="A GGUF file with an Ollama Modelfile: chat template, stop sequences, system prompt",
            factory=Ref("swift_plugin_gguf.ollama:OllamaExporter"),
            options=Ref("swift_plugin_gguf.options:OllamaOptions"),
            engines=_ENGINES,
            reads=("safetensors",),
            writes="gguf",
        ),
        ExporterSpec(
            name="gguf-split",
            summary="A GGUF model split into several files, or merged from several into one",
            also=("gguf-merge",),
            factory=Ref("swift_plugin_gguf.split:GgufSplit"),
            options=Ref("swift_plugin_gguf.options:SplitOptions"),
            engines=_ENGINES,
            reads=("gguf",),
            writes="gguf",
        ),
        ExporterSpec(
            name="imatrix",
            summary="An importance matrix, which reduces the quantization error of gguf-k and llama-quantize",
            factory=Ref("swift_plugin_gguf.imatrix:ImatrixExporter"),
            engines=_ENGINES,
            reads=("safetensors",),
            writes="imatrix",
            calibrates=True,
            predicts=False,
        ),
    ]


@hookimpl
def swift_check(run: Run) -> Iterator[Problem]:
    """Reject a checkpoint that GGUF cannot represent; reads only its config, tokenizer and weight headers."""
    chosen = run.parts.get("exporter")
    if chosen is None or run.model is None:
        return
    if chosen.name == "imatrix" and not run.adapters and run.model.format == "safetensors":
        yield from _imatrix_problems(run)
    if chosen.name not in _NAMES:
        return
    if run.adapters:
        yield from _adapter_problems(run) if chosen.name == "gguf" else ()
        return
    if run.model.format != "safetensors":
        return
    from swift_core.contract import UsageError
    from swift_plugin_gguf.exporter import prepare
    from swift_plugin_gguf.weights import TYPES, resolve_type, tensor_type

    options = chosen.make_options()
    if str(run.options.get("output", "")).endswith(".gguf"):
        yield Problem(
            code="EXPORT-010",
            where="output",
            message="the output must be a folder, not a file",
            hint="Pass a folder; --model-name names the file.",
        )
    try:
        plan, _ = prepare(Path(run.model.path), options)
    except UsageError as error:
        yield Problem(code=error.code, where="model", message=f"{error.message} ({error.where})", hint=error.hint)
        return
    kind = resolve_type(options.type, plan)
    other = (
        [target.name for target in plan.targets if tensor_type(target, kind).name == "F16"] if kind not in ("f16", "f32", "bf16") else []
    )
    if other:
        block = f"{len(other)} of {len(plan.targets)} weights have rows that {TYPES[kind][0].name} blocks don't divide"
        yield Problem(code="EXPORT-011", where="type", message=f"{block}; they are stored in F16", fatal=False)


def _adapter_problems(run: Run) -> Iterator[Problem]:
    from swift_core.contract import UsageError
    from swift_plugin_gguf.adapter import plan_adapter

    try:
        plan_adapter(Path(next(iter(run.adapters.values())).path), run.part("exporter").make_options())
    except UsageError as error:
        yield Problem(code=error.code, where="adapter", message=f"{error.message} ({error.where})", hint=error.hint)


def _imatrix_problems(run: Run) -> Iterator[Problem]:
    from swift_core.contract import UsageError
    from swift_plugin_gguf.plan import make_plan

    assert run.model is not None
    try:
        make_plan(Path(run.model.path))
    except UsageError as error:
        yield Problem(code=error.code, where="model", message=f"{error.message} ({error.where})", hint=error.hint)
