"""Checks of a run that uses a mesh, from the run and the model's config.json: nothing is loaded and torch is not imported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from swift_train.strategy_checks import language_model_head, quantized_weights, sharded_optimizer, unsupported_device

from swift_core.checkpoints import Checkpoint
from swift_core.contract import Problem
from swift_plugin_mesh.sizes import model_problems, size_problems

if TYPE_CHECKING:
    from swift_core.contract import Run
    from swift_plugin_mesh.options import MeshOptions

_LORA = ("lora", "rslora", "loraplus")
_WITH_TENSOR = ("full", "freeze", *_LORA)
_WITH_PIPELINE = ("full", *_LORA, "dora")
_PLAIN: Mapping[str, tuple[Any, ...]] = {
    "init": ("default", "true", "gaussian"),
    "dora": (False,),
    "bias": ("none",),
    "modules_to_save": ([],),
}


def problems(run: Run) -> Iterator[Problem]:
    """Yield every reason why a mesh can't carry out the run."""
    options: MeshOptions = run.part("parallel").make_options()
    yield from size_problems(options, run.workers)
    yield from unsupported_device("a mesh", str(run.options.get("device", "auto")))
    if run.model:
        yield from model_problems(options, Checkpoint.at(run.model.path).config)
    yield from quantized_weights("a mesh", run)
    yield from sharded_optimizer("a mesh", run)
    if options.context > 1 and (attention := run.options.get("attention", "auto")) not in ("auto", "sdpa"):
        message = f"context parallelism uses its own attention, not '{attention}'"
        yield Problem(code="PARALLEL-041", where="attention", message=message, hint="Omit --attention.")
    if "tuner" in run.parts:
        yield from _tuner(run, options)
    if options.pipeline > 1:
        yield from language_model_head("pipeline parallelism", run, "parallel.pipeline")
    if "task" in run.parts and run.part("task").options.get("compile") and max(options.context, options.tensor, options.pipeline) > 1:
        hint = "Omit --compile, or use --parallel fsdp."
        yield Problem(
            code="PARALLEL-042",
            where="compile",
            message="a model that is sharded over context, tensor or pipeline can't be compiled",
            hint=hint,
        )


def _tuner(run: Run, options: MeshOptions) -> Iterator[Problem]:
    tuner = run.parts["tuner"]
    kinds = ((options.tensor, _WITH_TENSOR, "tensor"), (options.pipeline, _WITH_PIPELINE, "pipeline"))
    active = [(supported, kind) for size, supported, kind in kinds if size > 1]
    for supported, kind in active:
        if tuner.name not in supported:
            message = f"{kind} parallelism does not support the tuner '{tuner.name}'"
            choices = ", ".join(name for name in supported if all(name in names for names, _ in active))
            yield Problem(code="PARALLEL-043", where="tuner", message=message, hint=f"Use --tuner {choices}; or --parallel fsdp.")
            return
    if options.tensor == 1 and tuner.name in ("adalora", "vblora"):
        message = f"'{tuner.name}' needs whole weights, which the mesh shards"
        yield Problem(code="PARALLEL-044", where="tuner", message=message, hint="Use --parallel ddp, or --tuner lora.")
    if options.tensor > 1 and tuner.name in _LORA:
        for name, plain in _PLAIN.items():
            if (value := tuner.options.get(name)) not in (None, *plain):
                message = f"tensor parallelism can't shard an adapter with {name} {value}"
                yield Problem(
                    code="PARALLEL-045", where=f"tuner.{name}", message=message, hint=f"Omit tuner.{name}, or use --parallel fsdp."
                )
