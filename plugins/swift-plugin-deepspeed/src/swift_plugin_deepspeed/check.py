"""What is said before anything is loaded: that DeepSpeed is absent, that ZeRO can't do this, that its JSON file contradicts the run.

The file may leave each shared value out, write "auto", or say what the run says. Which of two values was meant is the user's to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isclose
from typing import TYPE_CHECKING, Any

from swift_train.options import peak_learning_rate
from swift_train.strategy_checks import missing_engine

from swift_core.errors import suggestion
from swift_core.registry import registry
from swift_core.specs import Problem
from swift_plugin_deepspeed.config import PASSED_ON, REFUSED, SHARED

if TYPE_CHECKING:
    from swift_core.run import Run
    from swift_plugin_deepspeed.options import ZeroOptions

_SCHEDULES = {"WarmupLR": "constant", "WarmupDecayLR": "linear", "WarmupCosineLR": "cosine"}
_ADAM = ("adam", "adamw")


def problems(run: Run) -> Iterator[Problem]:
    """Every reason against the run."""
    choice = run.part("parallel")
    options: ZeroOptions = choice.make_options()
    yield from missing_engine(choice, "DS_BUILD_OPS=0 pip install")
    yield from _combinations(run, options)
    if isinstance(options.config, dict):
        for key, message, hint in (*_unknown(options.config), *_zero(options), *_shared(options, run)):
            yield Problem(where="parallel.config", message=f"DeepSpeed's configuration: {key}: {message}", hint=hint)


def _combinations(run: Run, options: ZeroOptions) -> Iterator[Problem]:
    name = run.part("parallel").name
    optimizer, tuner = run.part("optimizer").name, run.part("tuner").name
    if optimizer != "adamw" and not options.said("zero_allow_untested_optimizer"):
        message = f"ZeRO cuts weights into flat pieces, on which '{optimizer}' may compute something else than on whole ones"
        hint = (
            'Use --optimizer adamw; or, if it works element by element, allow it: {"zero_allow_untested_optimizer": true} in the JSON file.'
        )
        yield Problem(where="optimizer", message=message, hint=hint)
    if tuner == "adalora":
        yield Problem(where="tuner", message="AdaLoRA looks at whole gradients, which ZeRO has cut", hint="Use --parallel ddp.")
    if options.stage == 3 and "quantizer" in run.parts:
        hint = "Use --parallel zero2 or ddp, or leave the quantizer out."
        yield Problem(where="parallel", message=f"'{name}' can't cut quantized weights", hint=hint)
    if options.stage == 3 and run.part("task").options.get("compile"):
        hint = "Leave --compile out, or use --parallel zero2."
        yield Problem(
            where="compile", message=f"'{name}' fetches weights between the layers, which a compiled model does not allow", hint=hint
        )


Conflict = tuple[str, str, str]  # key, what is wrong, what to do


def _unknown(config: Mapping[str, Any]) -> Iterator[Conflict]:
    for key in config:
        if key in REFUSED:
            yield key, REFUSED[key], "Take it out."
        elif key not in (*PASSED_ON, *SHARED):
            yield key, "there is no such key, and DeepSpeed would pass over it", suggestion(key, [*PASSED_ON, *SHARED]) or "Take it out."


def _zero(options: ZeroOptions) -> Iterator[Conflict]:
    for key, stages in (("offload_optimizer", (1, 2, 3)), ("offload_param", (3,))):
        device = options.said("zero_optimization", key, "device")
        where = f"zero_optimization.{key}.device"
        if device == "nvme":
            yield where, "checkpoints of state on NVMe are not supported here", 'Use "cpu".'
        elif device == "cpu" and options.stage not in stages:
            yield where, f"ZeRO-{options.stage} does not move weights to the CPU", "Use stage 3, or take it out."
        wanted = options.offload_optimizer if key == "offload_optimizer" else getattr(options, "offload_weights", False)
        if wanted and device == "none":
            yield where, "it is none, but the run offloads", "Take it out, or choose the strategy without offload."
    if options.said("zero_optimization", "zenflow") is not None:
        yield "zero_optimization.zenflow", "it is not supported here", "Take it out."
    if options.said("bf16", "enabled") is True and options.said("fp16", "enabled") is True:
        yield "fp16.enabled", "bf16 is enabled too", "Enable one of them."


def _shared(options: ZeroOptions, run: Run) -> Iterator[Conflict]:
    task = run.part("task").options
    processes = run.workers
    rows, steps = task["batch_size"], task["gradient_accumulation_steps"]
    rate = peak_learning_rate(task["learning_rate"], adapter=registry().spec(run.part("tuner")).trains == "adapter")
    yield from _same(options, ("train_micro_batch_size_per_gpu",), rows, "--batch-size")
    yield from _same(options, ("gradient_accumulation_steps",), steps, "--gradient-accumulation-steps")
    whole = options.said("train_batch_size")
    if whole not in (None, "auto", rows * steps * processes):
        message = f"it is {whole}, the run has {rows} rows × {steps} micro-steps × {processes} processes = {rows * steps * processes}"
        yield "train_batch_size", message, 'Change --batch-size, --gradient-accumulation-steps or --processes, or write "auto".'
    yield from _same(options, ("gradient_clipping",), task["max_grad_norm"], "--max-grad-norm")
    yield from _precision(options, str(run.options.get("dtype", "auto")))
    if options.said("optimizer") is not None:
        yield from _optimizer(options, rate, run.part("optimizer").options)
    if options.said("scheduler") is not None:
        yield from _scheduler(options, rate, task)


def _precision(options: ZeroOptions, dtype: str) -> Iterator[Conflict]:
    for section, kind in (("fp16", "float16"), ("bf16", "bfloat16")):
        enabled = options.said(section, "enabled")
        if enabled is True and dtype not in ("auto", kind):
            yield f"{section}.enabled", f"it is true, the run says --dtype {dtype}", f'Give --dtype {kind}, or write "auto".'
        if enabled is False and dtype == kind:
            yield f"{section}.enabled", f"it is false, the run says --dtype {dtype}", 'Give another --dtype, or write "auto".'


def _optimizer(options: ZeroOptions, rate: float, chosen: Mapping[str, Any]) -> Iterator[Conflict]:
    kind = options.said("optimizer", "type")
    if kind != "auto" and str(kind).lower() not in _ADAM:
        yield "optimizer.type", f"it is {kind}, the run's optimizer is AdamW", "Choose it with --optimizer, and take it out here."
        return
    params = options.said("optimizer", "params") or {}
    if params.get("adam_w_mode") is False:
        yield "optimizer.params.adam_w_mode", "it is false, but weight decay is decoupled here", "Take it out."
    betas = [chosen.get("beta1"), chosen.get("beta2")]
    given = params.get("betas", "auto")
    if given != "auto" and not (isinstance(given, list) and all(map(_close, given, betas))):
        yield (
            "optimizer.params.betas",
            f"it is {given}, the run has {betas}",
            'Give --optimizer.beta1 and --optimizer.beta2, or write "auto".',
        )
    yield from _same(options, ("optimizer", "params", "lr"), rate, "--learning-rate")
    yield from _same(options, ("optimizer", "params", "eps"), chosen.get("eps"), "--optimizer.eps")
    yield from _same(options, ("optimizer", "params", "weight_decay"), chosen.get("weight_decay"), "--optimizer.weight-decay")
    for key in params.keys() - {"adam_w_mode", "betas", "lr", "eps", "weight_decay", "torch_adam", "bias_correction"}:
        yield f"optimizer.params.{key}", "the run's AdamW has no such setting", "Take it out."


def _scheduler(options: ZeroOptions, rate: float, task: Mapping[str, Any]) -> Iterator[Conflict]:
    kind = options.said("scheduler", "type")
    if kind not in _SCHEDULES:
        yield "scheduler.type", f"it is {kind}; the run's schedules are constant, linear and cosine", "Take it out, and give --schedule."
        return
    if _SCHEDULES[kind] != task["schedule"]:
        message = f"it is {kind}, the run says {task['schedule']}"
        yield "scheduler.type", message, f"Add --schedule {_SCHEDULES[kind]}, or take the scheduler out."
    if options.said("scheduler", "params", "warmup_type") == "log":
        yield "scheduler.params.warmup_type", "it is log, but the rate rises in a line here", 'Write "linear".'
    yield from _same(options, ("scheduler", "params", "warmup_min_lr"), 0, "")
    yield from _same(options, ("scheduler", "params", "warmup_max_lr"), rate, "--learning-rate")
    yield from _same(options, ("scheduler", "params", "warmup_num_steps"), task["warmup_steps"], "--warmup-steps")
    yield from _same(options, ("scheduler", "params", "total_num_steps"), task["max_steps"], "--max-steps")


def _same(options: ZeroOptions, keys: tuple[str, ...], ours: Any, flag: str) -> Iterator[Conflict]:
    said = options.said(*keys)
    if said in (None, "auto") or _close(said, ours):
        return
    hint = f'Add {flag} {said}, or write "auto".' if flag else f"Write {ours}."
    yield ".".join(keys), f"it is {said}, the run says {ours}", hint


def _close(said: Any, ours: Any) -> bool:
    numbers = isinstance(said, int | float) and isinstance(ours, int | float)
    return isclose(said, ours, rel_tol=1e-9) if numbers else bool(said == ours)
