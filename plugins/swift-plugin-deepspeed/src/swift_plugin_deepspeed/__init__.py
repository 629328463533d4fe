"""DeepSpeed ZeRO: optimizer state (1), gradients (2) and weights (3) sharded over the processes, optionally offloaded to the CPU."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from swift_core import hookimpl
from swift_core.contract import Engine, FlagFor, ParallelSpec, Problem, Ref

if TYPE_CHECKING:
    from swift_core.contract import Run, Settings, VerbSpec

SWIFT_EXAMPLES = Ref("swift_plugin_deepspeed.examples:EXAMPLES")
ENGINES = (Engine(requirements=("deepspeed>=0.19",)),)


def _spec(name: str, summary: str, options: str, *also: str) -> ParallelSpec:
    return ParallelSpec(
        name=name,
        summary=summary,
        also=also,
        factory=Ref("swift_plugin_deepspeed.strategy:ZeroStrategy"),
        options=Ref(f"swift_plugin_deepspeed.options:{options}"),
        engines=ENGINES,
        shards=True,
        flags=(FlagFor("deepspeed", "config", ".json"),) if name == "deepspeed" else (),
    )


@hookimpl
def swift_parallel() -> list[ParallelSpec]:
    """Register the three stages, two of them also with offload, and the stage that a DeepSpeed JSON file selects."""
    return [
        _spec("zero1", "DeepSpeed ZeRO-1: optimizer state sharded over the processes", "Zero1Options"),
        _spec("zero2", "DeepSpeed ZeRO-2: optimizer state and gradients sharded over the processes", "Zero2Options"),
        _spec("zero3", "DeepSpeed ZeRO-3: optimizer state, gradients and weights sharded over the processes", "Zero3Options"),
        _spec("zero2-offload", "DeepSpeed ZeRO-2 with the optimizer offloaded to the CPU", "Zero2OffloadOptions", "zero2_offload"),
        _spec("zero3-offload", "DeepSpeed ZeRO-3 with optimizer and weights offloaded to the CPU", "Zero3OffloadOptions", "zero3_offload"),
        _spec("deepspeed", "DeepSpeed ZeRO with the stage of a DeepSpeed JSON file", "DeepSpeedOptions"),
    ]


@hookimpl
def swift_settings(verb: VerbSpec, settings: Settings, environment: Mapping[str, str]) -> Iterable[str]:
    """Take the values of DeepSpeed's JSON file that the user gave no other ones for."""
    name = str(settings.given("parallel") or "")
    if "parallel" not in verb.parts or not (name == "deepspeed" or name.startswith("zero")):
        return []
    from swift_plugin_deepspeed import file_values

    return list(file_values.apply(verb, settings))


@hookimpl
def swift_check(run: Run) -> Iterable[Problem]:
    """Report what ZeRO does not support, and every setting of the JSON file that contradicts the run."""
    chosen = run.parts.get("parallel")
    if chosen is None or not chosen.factory.startswith("swift_plugin_deepspeed."):
        return ()
    from swift_plugin_deepspeed.check import problems

    return problems(run)
