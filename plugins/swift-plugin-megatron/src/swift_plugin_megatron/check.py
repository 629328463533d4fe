"""Checks of a run that uses megatron, from the run and the model's config.json: nothing is loaded and torch is not imported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from swift_formats.config import quantization_of
from swift_train.strategy_checks import language_model_head, missing_engine, sharded_optimizer, unsupported_device

from swift_core.checkpoints import Checkpoint
from swift_core.contract import Problem
from swift_plugin_megatron.maps import architectures
from swift_plugin_megatron.sizes import size_problems

if TYPE_CHECKING:
    from swift_core.contract import Run
    from swift_plugin_megatron.maps import Architecture

_TUNERS = ("full", "freeze", "lora", "rslora", "loraplus", "pissa")
_HINT = "Use --parallel fsdp."


def problems(run: Run) -> Iterator[Problem]:
    """Yield every reason why megatron can't carry out the run."""
    choice = run.part("parallel")
    yield from missing_engine(choice, "Python 3.12 or newer: pip install")
    yield from unsupported_device("megatron", str(run.options.get("device", "auto")), "Use --device cpu.")
    if run.options.get("dtype") == "float16":
        yield Problem(
            code="PARALLEL-016",
            where="dtype",
            message="megatron does not support float16, which needs a loss scale",
            hint="Use --dtype bfloat16.",
        )
    yield from _part_problems(run)
    if run.model:
        config = Checkpoint.at(run.model.path).config
        yield from _model_problems(config, quantized="quantizer" in run.parts)
        yield from size_problems(choice.make_options(), run.workers, config)
    yield from language_model_head("megatron", run, "parallel")


def unsupported_settings(architecture: Architecture, config: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the values of a config.json that an architecture's weight map does not support."""
    for name, value in architecture.requires.items():
        if name in config and config[name] not in (value, None):
            message = f"megatron's weight map of {config['model_type']} does not support {name} {config[name]!r}"
            yield Problem(code="PARALLEL-017", where="parallel", message=message, hint=_HINT)


def _model_problems(config: Mapping[str, Any], *, quantized: bool) -> Iterator[Problem]:
    kind = str(config.get("model_type", ""))
    if kind not in architectures():
        message = f"megatron has no weight map for the model type '{kind}'"
        hint = f"{_HINT} Supported: {', '.join(sorted(architectures()))}; plugins can add more (swift.megatron_maps)."
        yield Problem(code="PARALLEL-018", where="parallel", message=message, hint=hint)
    else:
        yield from unsupported_settings(architectures()[kind], config)
    if quantized or quantization_of(config):
        yield Problem(
            code="PARALLEL-019",
            where="parallel",
            message="megatron can't shard quantized weights",
            hint="Use --parallel ddp, or an unquantized model.",
        )


def _part_problems(run: Run) -> Iterator[Problem]:
    tuner = run.parts["tuner"].name if "tuner" in run.parts else ""
    if tuner and tuner not in _TUNERS:
        hint = f"Use --tuner {', '.join(_TUNERS)}; or --parallel fsdp."
        yield Problem(code="PARALLEL-020", where="tuner", message=f"megatron does not support the tuner '{tuner}'", hint=hint)
    elif tuner and run.part("tuner").options.get("dora"):
        yield Problem(
            code="PARALLEL-021",
            where="tuner.dora",
            message="DoRA's magnitudes need whole columns, which megatron shards",
            hint="Omit --tuner.dora.",
        )
    yield from sharded_optimizer("megatron", run, flat=True)
    if "task" in run.parts and run.part("task").options.get("activation_offload"):
        message = "megatron-core keeps checkpointed activations on the accelerator"
        yield Problem(code="PARALLEL-072", where="activation_offload", message=message, hint="Omit --activation-offload.")
    if "task" in run.parts and run.part("task").options.get("compile"):
        yield Problem(code="PARALLEL-023", where="compile", message="megatron-core's layers can't be compiled", hint="Omit --compile.")
