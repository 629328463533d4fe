"""Checks before anything is loaded: DeepSpeed is missing, ZeRO does not support the run, or its JSON file contradicts the run.

For each setting that the run has too, the file may omit it, write "auto", or have the run's value. Any other value is an error, since only
the user knows which of the two was meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isclose
from typing import TYPE_CHECKING, Any

from swift_train.options import peak_learning_rate
from swift_train.strategy_checks import missing_engine, sharded_optimizer

from swift_core.contract import Problem, TunerSpec, suggestion
from swift_core.plugins import registry
from swift_plugin_deepspeed.config import PASSED_ON, REFUSED, SHARED

if TYPE_CHECKING:
    from swift_core.contract import Run
    from swift_plugin_deepspeed.options import ZeroOptions

_SCHEDULES = {"WarmupLR": "constant", "WarmupDecayLR": "linear", "WarmupCosineLR": "cosine"}
_ADAM = ("adam", "adamw")


def problems(run: Run) -> Iterator[Problem]:
    """Yield every reason why ZeRO can't carry out the run."""
    choice = run.part("parallel")
    options: ZeroOptions = choice.make_options()
    yield from missing_engine(choice, "DS_BUILD_OPS=0 pip install")
    yield from _combinations(run, options)
    if isinstance(options.config, dict):
        for key, message, hint in (*_unknown(options.config), *_zero(options), *_shared(options, run)):
            yield Problem(code="PARALLEL-001", where="parallel.config", message=f"DeepSpeed's configuration: {key}: {message}", hint=hint)


def _combinations(run: Run, options: ZeroOptions) -> Iterator[Problem]:
    name = run.part("parallel").name
    tuner = run.part("tuner").name
    if not options.configured("zero_allow_untested_optimizer"):
        yield from sharded_optimizer("ZeRO", run, flat=True)
    if tuner == "adalora":
        yield Problem(
            code="PARALLEL-003", where="tuner", message="AdaLoRA needs whole gradients, which ZeRO shards", hint="Use --parallel ddp."
        )
    if options.stage == 3 and "quantizer" in run.parts:
        hint = "Use --parallel zero2 or ddp, or omit the quantizer."
        yield Problem(code="PARALLEL-004", where="parallel", message=f"'{name}' can't shard quantized weights", hint=hint)
    if options.stage == 3 and run.part("task").options.get("compile"):
        hint = "Omit --compile, or use --parallel zero2."
        yield Problem(
            code="PARALLEL-005",
            where="compile",
            message=f"'{name}' gathers weights between layers, which a compiled model does not allow",
            hint=hint,
        )


Conflict = tuple[str, str, str]  # key, message, hint


def _unknown(config: Mapping[str, Any]) -> Iterator[Conflict]:
    for key in config:
        if key in REFUSED:
            yield key, REFUSED[key], f"Remove {key}."
        elif key not in (*PASSED_ON, *SHARED):
            yield key, "unknown key, which DeepSpeed would ignore", suggestion(key, [*PASSED_ON, *SHARED]) or f"Remove {key}."


def _zero(options: ZeroOptions) -> Iterator[Conflict]:
    for key, stages in (("offload_optimizer", (1, 2, 3)), ("offload_param", (3,))):
        device = options.configured("zero_optimization", key, "device")
        where = f"zero_optimization.{key}.device"
        if device == "nvme":
            yield where, "checkpoints of state on NVMe are not supported", 'Use "cpu".'
        elif device == "cpu" and options.stage not in stages:
            yield where, f"ZeRO-{options.stage} does not offload weights", "Use stage 3, or remove it."
        offload = options.offload_optimizer if key == "offload_optimizer" else getattr(options, "offload_weights", False)
        if offload and device == "none":
            yield where, "it is none, but the run offloads", "Remove it, or choose the strategy without offload."
    if options.configured("zero_optimization", "zenflow") is not None:
        yield "zero_optimization.zenflow", "it is not supported", "Remove it."
    if options.configured("bf16", "enabled") is True and options.configured("fp16", "enabled") is True:
        yield "fp16.enabled", "bf16 is enabled too", "Enable only one of them."


def _shared(options: ZeroOptions, run: Run) -> Iterator[Conflict]:
    task = run.part("task").options
    processes = run.workers
    rows, steps = task["batch_size"], task["gradient_accumulation_steps"]
    rate = peak_learning_rate(task["learning_rate"], adapter=registry().spec(run.part("tuner"), TunerSpec).trains == "adapter")
    yield from _equal(options, ("train_micro_batch_size_per_gpu",), rows, "--batch-size")
    yield from _equal(options, ("gradient_accumulation_steps",), steps, "--gradient-accumulation-steps")
    batch_size = options.configured("train_batch_size")
    if batch_size not in (None, "auto", rows * steps * processes):
        message = (
            f"it is {batch_size}, the run has {rows} rows × {steps} micro-batches × {processes} processes = {rows * steps * processes}"
        )
        yield "train_batch_size", message, 'Change --batch-size, --gradient-accumulation-steps or --processes, or write "auto".'
    yield from _equal(options, ("gradient_clipping",), task["max_grad_norm"], "--max-grad-norm")
    yield from _precision(options, str(run.options.get("dtype", "auto")))
    if options.configured("optimizer") is not None:
        yield from _optimizer(options, rate, run.part("optimizer").options)
    if options.configured("scheduler") is not None:
        yield from _scheduler(options, rate, task)


def _precision(options: ZeroOptions, dtype: str) -> Iterator[Conflict]:
    for section, kind in (("fp16", "float16"), ("bf16", "bfloat16")):
        enabled = options.configured(section, "enabled")
        if enabled is True and dtype not in ("auto", kind):
            yield f"{section}.enabled", f"it is true, the run has --dtype {dtype}", f'Add --dtype {kind}, or write "auto".'
        if enabled is False and dtype == kind:
            yield f"{section}.enabled", f"it is false, the run has --dtype {dtype}", 'Change --dtype, or write "auto".'


def _optimizer(options: ZeroOptions, rate: float, chosen: Mapping[str, Any]) -> Iterator[Conflict]:
    kind = options.configured("optimizer", "type")
    if kind != "auto" and str(kind).lower() not in _ADAM:
        yield "optimizer.type", f"it is {kind}, the run's optimizer is AdamW", "Remove it, and choose the optimizer with --optimizer."
        return
    params = options.configured("optimizer", "params") or {}
    if params.get("adam_w_mode") is False:
        yield "optimizer.params.adam_w_mode", "it is false, but the run's AdamW uses decoupled weight decay", "Remove it."
    betas = [chosen.get("beta1"), chosen.get("beta2")]
    given = params.get("betas", "auto")
    if given != "auto" and not (isinstance(given, list) and all(map(_close, given, betas))):
        yield (
            "optimizer.params.betas",
            f"it is {given}, the run has {betas}",
            'Set --optimizer.beta1 and --optimizer.beta2, or write "auto".',
        )
    yield from _equal(options, ("optimizer", "params", "lr"), rate, "--learning-rate")
    yield from _equal(options, ("optimizer", "params", "eps"), chosen.get("eps"), "--optimizer.eps")
    yield from _equal(options, ("optimizer", "params", "weight_decay"), chosen.get("weight_decay"), "--optimizer.weight-decay")
    for key in params.keys() - {"adam_w_mode", "betas", "lr", "eps", "weight_decay", "torch_adam", "bias_correction"}:
        yield f"optimizer.params.{key}", "the run's AdamW has no such setting", "Remove it."


def _scheduler(options: ZeroOptions, rate: float, task: Mapping[str, Any]) -> Iterator[Conflict]:
    kind = options.configured("scheduler", "type")
    if kind not in _SCHEDULES:
        yield (
            "scheduler.type",
            f"it is {kind}; the run's schedules are constant, linear and cosine",
            "Remove the scheduler, and set --schedule.",
        )
        return
    if _SCHEDULES[kind] != task["schedule"]:
        message = f"it is {kind}, the run has {task['schedule']}"
        yield "scheduler.type", message, f"Add --schedule {_SCHEDULES[kind]}, or remove the scheduler."
    if options.configured("scheduler", "params", "warmup_type") == "log":
        yield "scheduler.params.warmup_type", "it is log, but the run's warm-up is linear", 'Write "linear".'
    yield from _equal(options, ("scheduler", "params", "warmup_min_lr"), 0, "")
    yield from _equal(options, ("scheduler", "params", "warmup_max_lr"), rate, "--learning-rate")
    yield from _equal(options, ("scheduler", "params", "warmup_num_steps"), task["warmup_steps"], "--warmup-steps")
    yield from _equal(options, ("scheduler", "params", "total_num_steps"), task["max_steps"], "--max-steps")


def _equal(options: ZeroOptions, keys: tuple[str, ...], expected: Any, flag: str) -> Iterator[Conflict]:
    value = options.configured(*keys)
    if value in (None, "auto") or _close(value, expected):
        return
    hint = f'Add {flag} {value}, or write "auto".' if flag else f"Write {expected}."
    yield ".".join(keys), f"it is {value}, the run has {expected}", hint


def _close(value: Any, expected: Any) -> bool:
    numbers = isinstance(value, int | float) and isinstance(expected, int | float)
    return isclose(value, expected, rel_tol=1e-9) if numbers else bool(value == expected)
