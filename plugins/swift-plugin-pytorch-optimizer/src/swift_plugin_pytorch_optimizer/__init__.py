"""Optimizers of the library pytorch-optimizer: GaLore, APOLLO, Schedule-Free AdamW, StableAdamW, Adam-mini, CAME and ADOPT."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from swift_core import hookimpl
from swift_core.contract import OptimizerSpec, Problem, Ref

if TYPE_CHECKING:
    from swift_core.contract import Run


def _spec(name: str, kind: str, summary: str, *also: str, options: str, shards: Literal["elements", "tensors", ""] = "") -> OptimizerSpec:
    return OptimizerSpec(
        name=name,
        summary=summary,
        also=also,
        factory=Ref(f"swift_plugin_pytorch_optimizer.optimizers:{kind}"),
        options=Ref(options if ":" in options else f"swift_plugin_pytorch_optimizer.options:{options}"),
        shards=shards,
    )


@hookimpl
def swift_optimizers() -> list[OptimizerSpec]:
    """Return the optimizers."""
    adam = "swift_train.optimizer_options:AdamOptions"
    return [
        _spec("galore", "GaLore", "GaLore: AdamW in a low-rank projection of the gradients", "galore_adamw", options="GaLoreOptions"),
        _spec("apollo", "Apollo", "APOLLO: AdamW scaled from a random low-rank projection", "apollo_adamw", options="ApolloOptions"),
        _spec("schedule-free-adamw", "ScheduleFreeAdamW", "Schedule-Free AdamW: averaged weights instead of a schedule",
              "schedule_free_adamw", options="ScheduleFreeOptions", shards="tensors"),
        _spec("stable-adamw", "StableAdamW", "AdamW with clipped updates", "stable_adamw", options=adam),
        OptimizerSpec(
            name="adam-mini", summary="Adam-mini: AdamW with one second moment for each head or matrix", also=("adam_mini",),
            factory=Ref("swift_plugin_pytorch_optimizer.adam_mini:AdamMini"), options=Ref(adam),
        ),
        _spec("came", "Came", "CAME: Adafactor with a confidence of its updates", "came_pytorch", options="CameOptions"),
        _spec("adopt", "Adopt", "ADOPT: Adam that converges with any beta2", "adopt_adamw", options=adam),
    ]  # fmt: skip


@hookimpl
def swift_check(run: Run) -> Iterator[Problem]:
    """Report a schedule beside schedule-free-adamw, which replaces it."""
    if "optimizer" not in run.parts or run.parts["optimizer"].name != "schedule-free-adamw" or "task" not in run.parts:
        return
    if (schedule := run.part("task").options.get("schedule", "constant")) != "constant":
        message = f"schedule-free-adamw averages the weights instead of lowering the learning rate, and the schedule '{schedule}' does both"
        yield Problem(code="PLUGIN-032", where="schedule", message=message, hint="Use --schedule constant.", fatal=False)
