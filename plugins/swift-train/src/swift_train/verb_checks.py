"""Checks of a training run before it starts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from swift_convert.quantize import load_time_problems
from swift_data import resolving

from swift_core.checkpoints import family_of
from swift_core.contract import CallbackSpec, Problem, UsageError
from swift_core.plugins import engine_state
from swift_train import anchored_loss, evaluation_checks, preflight, router_loss, upload
from swift_train.callbacks import PART
from swift_train.kernel_sets import kernels_named

if TYPE_CHECKING:
    from swift_core.contract import Run
    from swift_core.plugins import Registry


def problems(run: Run, known: Registry) -> Iterator[Problem]:
    """Yield datasets whose rows the task does not accept, offline quantizers, and evaluations and libraries that are lacking."""
    yield from resolving.problems(run, known)
    yield from load_time_problems(run, known)
    yield from evaluation_checks.problems(run)
    for part, choice in run.parts.items():
        if part.startswith(PART) and not (found := engine_state(known.spec(choice, CallbackSpec), choice.distribution)).present:
            hint = f"pip install {' '.join(map(repr, found.missing))}"
            message = f"'{choice.name}' needs {', '.join(found.missing)}, which is not installed"
            yield Problem(code="TRAIN-150", where="callbacks", message=message, hint=hint)
    yield from router_loss.problems(run)
    yield from anchored_loss.problems(run)
    yield from upload.problems(run)
    yield from preflight.float8(run)
    yield from _kernel_problems(run)
    yield from _mixture_problems(run)
    yield from _part_problems(run)


def _kernel_problems(run: Run) -> Iterator[Problem]:
    """Yield kernels that are unknown or not installed."""
    name = str(run.part("task").options.get("kernels", "auto"))
    if name in ("auto", "none"):
        return
    try:
        kernels_named(name)
    except UsageError as error:
        yield Problem(code=error.code, where=error.where, message=error.message, hint=error.hint)


def _mixture_problems(run: Run) -> Iterator[Problem]:
    """Yield why data sets can't be mixed by probabilities."""
    data = run.options.get("data") or {}
    if not (given := data.get("probabilities")):
        return
    where, hint = "data.probabilities", "Give one for each data set, in the order of --dataset."
    if len(given) != len(run.datasets):
        yield Problem(code="TRAIN-225", where=where, message=f"{len(given)} probabilities for {len(run.datasets)} data sets", hint=hint)
    if data.get("streaming"):
        yield Problem(
            code="TRAIN-226", where=where, message="streamed rows are read data set by data set", hint="Leave --data.streaming out."
        )
    if any(choice.weight != 1 for choice in run.datasets):
        yield Problem(
            code="TRAIN-227", where=where, message="the data sets have weights too", hint="Omit the weights, or the probabilities."
        )


def _part_problems(run: Run) -> Iterator[Problem]:
    """Yield options for the parts of a vision-language model on a model of text."""
    if run.model is None or family_of(run.model).modalities != ("text",):
        return
    options = {**run.part("tuner").options, **run.part("task").options}
    given = [
        f"{name} false" for name in ("freeze_vit", "freeze_aligner") if run.part("tuner").name != "full" and options.get(name) is False
    ]
    given += [name for name in ("vit_lr", "aligner_lr") if options.get(name)]
    if given:
        message = f"{given[0]}: this model has no image encoder"
        yield Problem(code="TRAIN-152", message=message, where=given[0].split()[0], hint="Omit it, or choose a vision-language model.")
