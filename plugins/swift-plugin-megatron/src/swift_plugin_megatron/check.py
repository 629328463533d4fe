"""What megatron can't do, known from the run and the model's config.json alone: nothing is loaded and no torch imported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_train.strategy_checks import missing_engine, unsupported_device

from swift_core.checkpoints.manifest import quantization_of, read_config
from swift_core.contract.specs import Problem
from swift_plugin_megatron.maps import architectures
from swift_plugin_megatron.sizes import misfits

if TYPE_CHECKING:
    from swift_core.contract.run import Run
    from swift_plugin_megatron.maps import Architecture

_TUNERS = ("full", "freeze", "lora", "rslora", "loraplus", "pissa")
_ELSE = "Use --parallel fsdp."


def problems(run: Run) -> Iterator[Problem]:
    """Every reason against the run."""
    choice = run.part("parallel")
    yield from missing_engine(choice, "Python 3.12 or newer: pip install")
    yield from unsupported_device("megatron", str(run.options.get("device", "auto")), "Use --device cpu.")
    if run.options.get("dtype") == "float16":
        yield Problem(where="dtype", message="megatron has no loss scale here for float16", hint="Use --dtype bfloat16.")
    yield from _parts(run)
    if run.model:
        config = read_config(Path(run.model.path))
        yield from _model(config, quantized="quantizer" in run.parts)
        yield from misfits(choice.make_options(), run.workers, config)


def unmet(architecture: Architecture, config: Mapping[str, Any]) -> Iterator[Problem]:
    """Values of a config.json that an architecture's map is not true for."""
    for name, value in architecture.needs.items():
        if name in config and config[name] not in (value, None):
            message = f"megatron's map of {config['model_type']} is not for models with {name} {config[name]!r}"
            yield Problem(where="parallel", message=message, hint=_ELSE)


def _model(config: Mapping[str, Any], *, quantized: bool) -> Iterator[Problem]:
    kind = str(config.get("model_type", ""))
    if kind not in architectures():
        message = f"megatron has no map for models of the type '{kind}'"
        hint = f"{_ELSE} It has maps for {', '.join(sorted(architectures()))}; plugins can bring more (swift.megatron_maps)."
        yield Problem(where="parallel", message=message, hint=hint)
    else:
        yield from unmet(architectures()[kind], config)
    if quantized or quantization_of(config):
        yield Problem(where="parallel", message="megatron can't cut quantized weights", hint="Use --parallel ddp, or an unquantized model.")


def _parts(run: Run) -> Iterator[Problem]:
    tuner, optimizer = (run.parts[kind].name if kind in run.parts else "" for kind in ("tuner", "optimizer"))
    if tuner and tuner not in _TUNERS:
        hint = f"Use one of {', '.join(_TUNERS)}; or --parallel fsdp."
        yield Problem(where="tuner", message=f"megatron's layers are cut otherwise than '{tuner}' needs", hint=hint)
    elif tuner and run.part("tuner").options.get("dora"):
        yield Problem(where="tuner.dora", message="magnitudes are of whole columns, which megatron has cut", hint="Leave --tuner.dora out.")
    if optimizer not in ("", "adamw"):
        message = f"'{optimizer}' may compute something else on parts of weights than on whole ones"
        yield Problem(where="optimizer", message=message, hint="Use --optimizer adamw.")
    if "task" in run.parts and run.part("task").options.get("compile"):
        yield Problem(where="compile", message="megatron-core's layers are not compiled here", hint="Leave --compile out.")
