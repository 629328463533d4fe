"""Environment variables that other tools read at launch: `NPROC_PER_NODE=4 swift sft …`.

A variable with a corresponding option sets that option, unless the command line or its YAML does; a variable without one has no effect.
Both cases are reported in a note.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from swift_core.contract import UsageError, VerbSpec
from swift_core.options import Settings, fields
from swift_core.plugins import Registry

_NUMBERS: Mapping[str, str] = {"NPROC_PER_NODE": "processes", "NNODES": "nodes"}
_HUBS: Mapping[str, tuple[str, str]] = {"USE_HF": ("hf", "ms"), "USE_MODELSCOPE_HUB": ("ms", "hf")}
_NO_EFFECT = (
    "MAX_PIXELS", "MIN_PIXELS", "VIDEO_MAX_PIXELS", "VIDEO_MIN_PIXELS", "VIDEO_TOTAL_PIXELS", "IMAGE_MAX_TOKEN_NUM", "IMAGE_MIN_TOKEN_NUM",
    "VIDEO_MAX_TOKEN_NUM", "VIDEO_MIN_TOKEN_NUM", "FPS", "FPS_MAX_FRAMES", "FPS_MIN_FRAMES", "NFRAMES", "MAX_NUM", "INPUT_SIZE",
    "VIDEO_MAX_NUM", "VIDEO_SEGMENTS", "MAX_SLICE_NUMS", "VIDEO_MAX_SLICE_NUMS", "MAX_NUM_FRAMES", "SIZE_FACTOR", "ENABLE_AUDIO_OUTPUT",
    "USE_AUDIO_IN_VIDEO", "QWENVL_BBOX_FORMAT", "CELOSS_PARALLEL_SIZE", "SWIFT_UI_LANG", "USE_OPENMIND_HUB", "DISABLE_VERSION_CHECK",
)  # fmt: skip
_DEVICES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ASCEND_RT_VISIBLE_DEVICES")
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def apply(verb: VerbSpec, settings: Settings, known: Registry, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Apply launch variables to the settings and return notes for the user.

    Args:
        verb: the verb that is run.
        settings: the settings of the run, changed in place.
        known: the installed plugins, whose hook `swift_settings` is called.
        environment: the variables to read.

    Raises:
        UsageError: a value is not a number, or a distributed launcher started this command once per process.
    """
    own = {field.path for field in fields.fields(verb.options)}
    if "processes" in own:
        _refuse_launched(environment)
    notes: list[str] = []
    for name, path in _NUMBERS.items():
        if value := environment.get(name, "").strip():
            number = variable_number(name, value)
            notes += set_option(settings, path, number, f"{name}={value}", known=path in own, trivial=number == 1)
    for _, told in known.plugins.ask("swift_settings", verb=verb, settings=settings, environment=environment):
        notes += told or ()
    notes += _hub(settings, environment, known="hub" in own)
    for name in _NO_EFFECT:
        if environment.get(name, "").strip():
            notes.append(f"{name}={environment[name]} has no effect: swift does not read it")
    return [*notes, *(_devices(settings, environment) if "processes" in own else ())]


def set_option(settings: Settings, path: str, value: object, variable: str, *, known: bool, trivial: bool = False) -> Iterator[str]:
    """Set an option from a variable unless the user gives it, and yield a note on what was done.

    Args:
        settings: the settings, changed in place.
        path: dotted path of the option.
        value: the value.
        variable: `NAME=value`, for the note.
        known: whether the verb has the option.
        trivial: whether the value is the default, which needs neither a change nor a note.
    """
    flag = "--" + path.replace("_", "-")
    found = given_value(settings, path)
    if not known:
        if not trivial:
            yield f"{variable} has no effect on this command"
    elif found is not None:
        if str(found) != str(value):
            yield f"{variable} has no effect: {flag} {found} is given"
    elif not trivial:
        settings.set(path, value)
        yield f"{variable}: using {flag} {value}"


def _hub(settings: Settings, environment: Mapping[str, str], *, known: bool) -> Iterator[str]:
    for name, (on, off) in _HUBS.items():
        value = environment.get(name, "").strip().lower()
        if value and known:
            if value not in _TRUE + _FALSE:
                raise UsageError(f"must be 1 or 0, not '{value}'", code="RUN-012", where=name, hint="Or use --hub hf or --hub ms.")
            hub = on if value in _TRUE else off
            yield from set_option(settings, "hub", hub, f"{name}={environment[name]}", known=True, trivial=hub == "hf")


def _devices(settings: Settings, environment: Mapping[str, str]) -> Iterator[str]:
    """Compare the number of visible devices with the number of processes; the workers read the variable itself."""
    name = next((name for name in _DEVICES if environment.get(name, "").strip()), "")
    processes = given_value(settings, "processes") or 1
    if not name or str(given_value(settings, "device") or "auto").startswith("cpu") or not str(processes).isdecimal():
        return
    visible = len(environment[name].strip(", ").split(","))
    if visible > int(processes):
        yield f"{name} lists {visible} devices, but each process uses one: use --processes {visible} to use all of them"
    elif 0 < visible < int(processes):
        yield f"{name} lists {visible} devices for {processes} processes: each process needs its own accelerator"


def _refuse_launched(environment: Mapping[str, str]) -> None:
    if environment.get("LOCAL_RANK") and int(environment.get("WORLD_SIZE") or 1) > 1:
        message = f"swift starts its own processes, but a launcher started this command {environment['WORLD_SIZE']} times"
        hint = "Run it without torchrun, accelerate or deepspeed: use --processes N, and --nodes M on each node of a multi-node run."
        raise UsageError(message, code="RUN-013", where="LOCAL_RANK, WORLD_SIZE", hint=hint)


def given_value(settings: Settings, path: str) -> Any:
    """Return the value that the command line or its YAML gives for a path; None if neither does."""
    node: Any = settings.values
    for key in path.split("."):
        if not isinstance(node, dict):
            return None
        node = node.get(key, node.get(key.replace("_", "-")))
    return node.get("name") if isinstance(node, dict) else node


def variable_number(name: str, value: str) -> int:
    """Return the value of a variable as a number.

    Raises:
        UsageError: it is not one.
    """
    if not value.isdecimal():
        raise UsageError(
            f"must be a number, not '{value}'",
            code="RUN-014",
            where=name,
            hint="Set it to a number, or unset it and use the option instead.",
        )
    return int(value)
