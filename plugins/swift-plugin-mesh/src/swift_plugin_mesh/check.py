"""What a mesh can't do, known from the run and the model's config.json alone: nothing is loaded and no torch imported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_train.strategy_checks import quantized_weights, unsupported_device

from swift_core.checkpoint import read_config
from swift_core.specs import Problem
from swift_plugin_mesh.sizes import misfits, uneven

if TYPE_CHECKING:
    from swift_core.run import Run
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
    """Every reason against the run."""
    options: MeshOptions = run.part("parallel").make_options()
    yield from misfits(options, run.workers)
    yield from unsupported_device("a mesh", str(run.options.get("device", "auto")))
    if run.model:
        yield from uneven(options, read_config(Path(run.model.path)))
    yield from quantized_weights("a mesh", run)
    if options.context > 1 and (attention := run.options.get("attention", "auto")) not in ("auto", "sdpa"):
        message = f"rows whose tokens are cut have an attention of their own here, not '{attention}'"
        yield Problem(where="attention", message=message, hint="Leave --attention out.")
    if "tuner" in run.parts:
        yield from _tuner(run, options)
    if "task" in run.parts and run.part("task").options.get("compile") and max(options.context, options.tensor, options.pipeline) > 1:
        hint = "Leave --compile out, or use --parallel fsdp."
        yield Problem(where="compile", message="a model that is cut over a mesh is not compiled here", hint=hint)


def _tuner(run: Run, options: MeshOptions) -> Iterator[Problem]:
    tuner = run.parts["tuner"]
    known_to = ((options.tensor, _WITH_TENSOR, "parts of layers"), (options.pipeline, _WITH_PIPELINE, "stages"))
    cuts = [(known, parts) for size, known, parts in known_to if size > 1]
    for known, parts in cuts:
        if tuner.name not in known:
            message = f"'{tuner.name}' is not computed here on {parts}"
            those = ", ".join(name for name in known if all(name in names for names, _ in cuts))
            yield Problem(where="tuner", message=message, hint=f"Use --tuner {those}; or --parallel fsdp.")
            return
    if options.tensor == 1 and tuner.name in ("adalora", "vblora"):
        message = f"'{tuner.name}' needs whole weights, which are cut"
        yield Problem(where="tuner", message=message, hint="Use --parallel ddp, or --tuner lora.")
    if options.tensor > 1 and tuner.name in _LORA:
        for name, plain in _PLAIN.items():
            if (value := tuner.options.get(name)) not in (None, *plain):
                message = f"tensor parallelism can't cut an adapter with {name} {value}"
                yield Problem(where=f"tuner.{name}", message=message, hint="Leave it out, or use --parallel fsdp.")
