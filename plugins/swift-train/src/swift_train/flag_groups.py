"""Flags of ms-swift that mean one option together, or several: those of evaluation during a training, of tokenised rows, of media."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Sequence
from math import prod
from typing import Any

from swift_core.cli import note
from swift_core.contract import UsageError
from swift_core.options import FALSE
from swift_train import fsdp_json, media_variables, tokenised_rows
from swift_train.flag_words import take_flags

_LORA_GA = ("lora_ga_batch_size", "lora_ga_iters")
_EVALUATION = ("eval_use_evalscope", "eval_dataset", "eval_dataset_args", "eval_limit", "eval_generation_config")


def combine(words: Sequence[str]) -> list[str]:
    """Return a command line with `--eval` in place of `--eval_use_evalscope --eval_dataset …`, and a callback for `--early_stop_interval`.

    Raises:
        UsageError: the evaluation has no tasks, or a value is no JSON.
    """
    rest, found = take_flags(
        _generations(_context(words)),
        (*_EVALUATION, "early_stop_interval", "cached_dataset", "cached_val_dataset", "fsdp", "model_kwargs", *_LORA_GA),
    )
    if arguments := found.pop("model_kwargs", None):
        limits = media_variables.options_of(_object(" ".join(arguments), "model_kwargs"))
        media = [word for name, value in limits for word in (f"--{name}", value)]
        rest += media
        note(f"--model_kwargs is {shlex.join(media)} here" if media else "--model_kwargs has no effect: it is empty")
    if any(name in found for name in _LORA_GA):
        counts = [(found.pop(name, None) or ["2"])[-1] for name in _LORA_GA]  # ms-swift's defaults
        if not all(number.isdecimal() for number in counts):
            raise UsageError(
                f"{' and '.join(counts)} are not numbers", code="TRAIN-278", where="--lora_ga_iters", hint="Write --tuner.ga-rows N."
            )
        rest += ["--tuner.ga-rows", str(prod(map(int, counts)))]
        note(f"--lora_ga_batch_size {counts[0]} --lora_ga_iters {counts[1]} are {' '.join(rest[-2:])} here: rows that gradients are of")
    if sharding := found.pop("fsdp", None):
        own = fsdp_json.words_of(" ".join(sharding))
        rest += own or ["--fsdp", *sharding]
        if own:
            note(f"--fsdp is {shlex.join(own)} here; its other settings are what the strategy does by itself")
    if cached := found.pop("cached_dataset", None):
        own = tokenised_rows.words(cached, found.pop("cached_val_dataset", []))
        rest += own
        note(f"--cached_dataset {' '.join(cached)} is {shlex.join(own)} here: rows whose tokens are stored are not tokenised again")
    if interval := found.pop("early_stop_interval", None):
        rest += ["--callbacks", f"early-stopping:patience={interval[-1]}"]
        note(f"--early_stop_interval {interval[-1]} is {' '.join(rest[-2:])} here")
    wanted = found.pop("eval_use_evalscope", None)
    if wanted is None or (wanted and wanted[-1].lower() in FALSE):
        return [*rest, *(word for name, values in found.items() for word in (f"--{name}", *values))]
    if not found.get("eval_dataset"):
        raise UsageError("lists no tasks", code="TRAIN-164", where="--eval_use_evalscope", hint="Add --eval_dataset gsm8k.")
    settings: dict[str, Any] = {"tasks": found["eval_dataset"], "evaluator": {"name": "evalscope"}}
    for flag, name in (("eval_dataset_args", "dataset_args"), ("eval_generation_config", "generation_config")):
        if values := found.get(flag):
            settings["evaluator"][name] = _object(values[-1], flag)
    if values := found.get("eval_limit"):
        settings["limit"] = int(values[-1]) if values[-1].isdecimal() else values[-1]
    text = json.dumps(settings)
    note(f"--eval_use_evalscope is --eval '{text}' here: checkpoints are evaluated beside the training")
    return [*rest, "--eval", text]


def _context(words: Sequence[str]) -> list[str]:
    """Return the words without `--deepspeed` where rows are cut into parts: the mesh that does it shards weights as ZeRO-3 does."""
    rest, found = take_flags(words, ("sequence_parallel_size", "deepspeed"))
    size = (found.get("sequence_parallel_size") or ["1"])[-1]
    if size == "1" or not found.get("deepspeed"):
        return list(words)
    note(f"--deepspeed {found['deepspeed'][-1]} has no effect: --sequence_parallel_size {size} is a mesh, which shards the weights too")
    return [*rest, "--sequence_parallel_size", size]


def _generations(words: Sequence[str]) -> list[str]:
    """Return the words with `--steps_per_generation` for a `--generation_batch_size`, in answers over all processes."""
    rest, found = take_flags(words, ("generation_batch_size",))
    if not found:
        return list(words)
    _, sizes = take_flags(words, ("per_device_train_batch_size", "batch_size", "processes"))
    total, size = (
        (found["generation_batch_size"] or [""])[-1],
        next((values[-1] for name, values in sizes.items() if name != "processes"), "1"),
    )
    processes = (sizes.get("processes") or [os.environ.get("NPROC_PER_NODE", "")])[-1] or "1"
    if not all(number.isdecimal() and int(number) for number in (total, size, processes)) or int(total) % (int(size) * int(processes)):
        message = f"{total or 'nothing'} can't be divided by the batch size {size} of {processes} processes"
        hint = "Give the micro-batches that are sampled at once: --steps-per-generation N."
        raise UsageError(message, code="TRAIN-275", where="--generation_batch_size", hint=hint)
    own = ["--steps-per-generation", str(int(total) // (int(size) * int(processes)))]
    note(f"--generation_batch_size {total} is {shlex.join(own)} here: micro-batches of each process that are sampled at once")
    return [*rest, *own]


def _object(text: str, flag: str) -> dict[str, Any]:
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError):
        raise UsageError("not a JSON object", code="TRAIN-165", where=f"--{flag}", hint='Write {"gsm8k": {"few_shot_num": 0}}.') from None
