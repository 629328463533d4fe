"""The program `megatron`: `megatron sft …` with the names of ms-swift and Megatron-LM is `swift sft --parallel megatron …`."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swift_core.contract import UsageError
from swift_core.options import read_yaml
from swift_plugin_megatron.names import IGNORED, REFUSED, RENAMED, VALUES, VERBS

_SIZES = ("tensor_model_parallel_size", "pipeline_model_parallel_size", "context_parallel_size")
_KEPT = ("output_dir", "output", "dtype", "torch_dtype", "overwrite", "exist_ok", "hub", "use_hf")  # options of merge and export
_READ = ("model", "mcore_model", "load", "adapters", "mcore_adapter", "mcore_adapters", "merge_lora", "to_hf", "to_mcore")
_ROLES = ("train", "rollout", "teacher")
_FLOAT8 = ("fp8_recipe", "fp8_format")
_SCORE_TASKS = ("rm", "seq_cls", "embedding", "reranker")
_SHARED_OUT = (
    *_SIZES, "sequence_parallel", "expert_model_parallel_size", "expert_tensor_parallel_size", "use_distributed_optimizer",
)  # fmt: skip
_NESTED = ("colocate_groups",)
_USAGE = "Write megatron sft, pt, rlhf or export, with options: megatron sft --model MODEL --dataset FILE --tensor_model_parallel_size 2."


@dataclass
class Line:
    """A translated command line of `megatron`: words of swift, notes, and the output that is to be merged ('' if none)."""

    words: list[str]
    notes: list[str] = field(default_factory=list)
    merged: str = ""


def main() -> None:
    """Run the command line."""
    from swift_core.cli import invoke, note, print_error

    try:
        line = swift_line(sys.argv[1:], os.environ)
    except UsageError as error:
        print_error(error)
        raise SystemExit(2) from None
    for text in line.notes:
        note(text)
    note(f"swift {shlex.join(line.words)}")
    code = invoke(line.words)
    if code == 0 and line.merged and "--dry-run" not in line.words:
        code = invoke(["merge", "--adapter", line.merged, "--output", f"{line.merged}-merged"])
    raise SystemExit(code)


def swift_line(argv: Sequence[str], environment: Mapping[str, str]) -> Line:
    """Translate a command line without the name of the program.

    Raises:
        UsageError: there is no such verb, an option is not possible, or the batch size does not fit the processes.
    """
    if not argv or argv[0] not in VERBS:
        name = argv[0] if argv else ""
        problem = f"there is no command 'megatron {name}'" if name else "no command given"
        raise UsageError(problem, code="PARALLEL-064", hint=_USAGE)
    flags, rest = _flags(_with_file(argv[1:]))
    if argv[0] == "export":
        return _export(flags, rest)
    line = Line([VERBS[argv[0]], *rest, "--parallel", "megatron"])
    _batch(flags, line, environment)
    if _is(flags, "sequence_parallel") and _number(flags, "tensor_model_parallel_size") == 1:
        flags.pop("sequence_parallel")
        line.notes.append("--sequence_parallel has no effect with a tensor parallel size of 1")
    if _is(flags, "merge_lora") and flags.get("tuner_type", ["lora"])[-1:] != ["full"]:
        line.merged = _last(flags, "output_dir") or _last(flags, "save") or _last(flags, "output")
        if not line.merged:
            model = _last(flags, "model") or _last(flags, "load") or _last(flags, "mcore_model")
            line.merged = f"megatron_output/{model.rstrip('/').rpartition('/')[2] or 'adapter'}"
            line.words += ["--output", line.merged]
        line.notes.append(f"--merge_lora: the adapter is written to {line.merged}, and the merged model to {line.merged}-merged")
    flags.pop("merge_lora", None)
    _scores(flags, line)
    _float8(flags, line)
    for name, values in flags.items():
        _translate(name, values, line)
    return line


def _with_file(argv: Sequence[str]) -> list[str]:
    """Return the arguments with those of a YAML file in front, if one is named first or by --config.

    Raises:
        UsageError: the file can't be read.
    """
    words = list(argv)
    named = words.index("--config") if "--config" in words else -1
    if not words[named + 1 :] or not words[named + 1].endswith((".yaml", ".yml")):
        return words
    values = read_yaml(Path(words[named + 1])).values
    found: list[str] = []
    for name, value in _flat(values).items():
        items = value if isinstance(value, list) and name not in _NESTED else [value]
        found += [f"--{name}", *(json.dumps(item) if isinstance(item, dict | list) else _text(item) for item in items)]
    os.environ.update({name: str(value) for name, value in (values.get("ENV") or {}).items() if name not in os.environ})
    return [*found, *words[: max(named, 0)], *words[named + 2 :]]


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a file; those of a role in a Ray cluster (`train`, `rollout`, `teacher`) are beside the others."""
    found = {name: value for name, value in values.items() if name not in ("ENV", *_ROLES)}
    for role in _ROLES:
        own = dict(values.get(role) or {})
        devices = own.pop("gpus", None)
        found |= own
        if role == "train" and devices:
            found["nproc_per_node"] = devices
    return found


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _translate(name: str, values: list[str], line: Line) -> None:
    value = values[-1] if values else "true"
    if reason := IGNORED.get(f"{name}={value.lower()}") or IGNORED.get(name) if not _refused(name, value) else "":
        line.notes.append(f"--{name} has no effect: {reason}")
    elif _refused(name, value):
        raise UsageError("is not supported here", code="PARALLEL-066", where=f"--{name}", hint=REFUSED[name])
    elif new := RENAMED.get(name):
        known = VALUES.get(name, {})
        line.words += [f"--{new}", *(known.get(item, item) for item in values or ["true"])]
        line.notes.append(f"--{name} is --{new.replace('_', '-')} here")
    else:
        line.words += [f"--{name}", *values]


def _refused(name: str, value: str) -> bool:
    return name in REFUSED and f"{name}={value.lower()}" not in IGNORED and value.lower() not in ("false", "none")


def _scores(flags: dict[str, list[str]], line: Line) -> None:
    """Train a head of scores on a device mesh, since megatron-core's models have the head of a language model alone."""
    task = (_last(flags, "task_type") or _last(flags, "rlhf_type")).replace("-", "_")
    if task not in _SCORE_TASKS or _number(flags, "pipeline_model_parallel_size") > 1:
        return
    sizes = {"tensor": _number(flags, "tensor_model_parallel_size"), "context": _number(flags, "context_parallel_size")}
    given = [word for name, size in sizes.items() if size > 1 for word in (f"--parallel.{name}", str(size))]
    line.words[line.words.index("megatron")] = "mesh" if given else "fsdp"
    line.words += given
    for name in _SHARED_OUT:
        flags.pop(name, None)
    line.notes.append(
        f"megatron-core trains the head of a language model: '{task}' is trained with --parallel {'mesh' if given else 'fsdp'} of torch, "
        "which shards weights and optimizer state over the processes"
    )


def _float8(flags: dict[str, list[str]], line: Line) -> None:
    """Compute in float8, if a recipe or a format is given; it has one of its own."""
    given = {name: " ".join(flags.pop(name)) for name in _FLOAT8 if name in flags}
    if given:
        line.words.append("--fp8")
        asked = " ".join(f"--{name} {value}" for name, value in given.items())
        line.notes.append(f"{asked}: --fp8 here, torchao's float8 with one scale for each tensor, computed anew for each product")


def _batch(flags: dict[str, list[str]], line: Line, environment: Mapping[str, str]) -> None:
    """Read the global batch size, which is rows per micro-batch × accumulation × replicas of the model."""
    whole = flags.pop("global_batch_size", None)
    if whole is None:
        return
    processes = _last(flags, "nproc_per_node") or _last(flags, "processes") or environment.get("NPROC_PER_NODE", "") or "1"
    nodes = _last(flags, "nnodes") or _last(flags, "nodes") or environment.get("NNODES", "") or "1"
    micro, size = _number(flags, "micro_batch_size"), 1
    for name in _SIZES:
        size *= _number(flags, name)
    if not (whole[-1].isdecimal() and processes.isdecimal() and nodes.isdecimal()):
        raise UsageError("is not a number", code="PARALLEL-067", where="--global_batch_size", hint="Write a number of rows.")
    replicas = max(1, int(processes) * int(nodes) // size)
    steps, rest = divmod(int(whole[-1]), micro * replicas)
    if rest or not steps:
        message = f"{whole[-1]} rows are not a multiple of {micro} rows per micro-batch × {replicas} replicas of the model"
        hint = f"Use a multiple of {micro * replicas}, or fewer processes."
        raise UsageError(message, code="PARALLEL-068", where="--global_batch_size", hint=hint)
    line.words += ["--gradient_accumulation_steps", str(steps)]
    line.notes.append(f"--global_batch_size {whole[-1]} is {micro} rows × {steps} accumulated micro-batches × {replicas} replicas")


def _export(flags: dict[str, list[str]], rest: Sequence[str]) -> Line:
    """Read `megatron export`: merging, or a copy, since checkpoints are in Hugging Face's format in any case.

    Raises:
        UsageError: there is nothing to convert, or it is to be quantized.
    """
    fp8 = [name for name in flags if name in _FLOAT8 or (name == "fp8_param_gather" and _is(flags, name))]
    adapter = flags.get("adapters") or flags.get("mcore_adapter") or flags.get("mcore_adapters") or []
    merges = _is(flags, "merge_lora") or (bool(adapter) and _is(flags, "to_hf") and "merge_lora" not in flags)
    if not (merges if adapter else _is(flags, "to_mcore") or _is(flags, "to_hf")) and not (adapter and "merge_lora" in flags):
        name = "to_mcore" if "to_mcore" in flags else "to_hf"
        raise UsageError("there is nothing to convert", code="PARALLEL-069", where=f"--{name}", hint=REFUSED[name])
    model = [word for name in ("model", "mcore_model", "load") for word in ("--model", *flags.get(name, ())) if name in flags]
    if fp8 and (adapter or not model):
        hint = "Merge the adapter first: swift merge; then quantize the result: swift quantize MODEL --quantizer fp8."
        raise UsageError("is not possible in this step", code="PARALLEL-071", where=f"--{fp8[0]}", hint=hint)
    if fp8:
        words, notes = (
            ["quantize", *rest, *model, "--quantizer", "fp8"],
            [f"--{name} is swift quantize --quantizer fp8 here" for name in fp8],
        )
    elif merges:
        words, notes = ["merge", *rest, *model, "--adapter", *adapter], []
    else:
        words = ["export", *rest, *(["--adapter", *adapter] if adapter else model), "--to", "safetensors"]
        notes = ["Megatron reads and writes Hugging Face checkpoints: the output is a copy of the checkpoint, in the requested data type"]
    for name in _KEPT:
        words += [f"--{name}", *flags[name]] if name in flags else []
    reason = "no processes are needed, and every result is verified against its source"
    return Line(words, [*notes, *(f"--{name} has no effect: {reason}" for name in sorted(flags.keys() - {*_KEPT, *_READ, *fp8}))])


def _flags(argv: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Return the values of each flag, and the words before the first one."""
    found: dict[str, list[str]] = {}
    rest: list[str] = []
    values = rest
    for word in argv:
        if word.startswith("--"):
            name, equals, value = word.removeprefix("--").partition("=")
            values = found.setdefault(name.replace("-", "_"), [])
            values += [value] if equals else []
        else:
            values.append(word)
    return found, rest


def _last(flags: Mapping[str, list[str]], name: str) -> str:
    return (flags.get(name) or [""])[-1]


def _is(flags: Mapping[str, list[str]], name: str) -> bool:
    return name in flags and (_last(flags, name) or "true").lower() == "true"


def _number(flags: Mapping[str, list[str]], name: str) -> int:
    value = _last(flags, name)
    return int(value) if value.isdecimal() and int(value) else 1
