"""Environment variables that other tools read at launch: `NPROC_PER_NODE=4 swift sft …`.

A variable with a corresponding option sets that option, unless the command line or its YAML does; a variable without one has no effect.
Both cases are reported in a note.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from swift_core.options import fields
from swift_core.options.settings import Settings
from swift_core.contract.errors import UsageError
from swift_core.verbs import Verb

_NUMBERS: Mapping[str, str] = {"NPROC_PER_NODE": "processes", "NNODES": "nodes"}
_RENDEZVOUS: Mapping[str, str] = {
    "NODE_RANK": "launcher.node_rank", "MASTER_ADDR": "launcher.master_addr", "MASTER_PORT": "launcher.master_port",
}  # fmt: skip
_HUBS: Mapping[str, tuple[str, str]] = {"USE_HF": ("hf", "ms"), "USE_MODELSCOPE_HUB": ("ms", "hf")}
_NO_EFFECT = (
    "MAX_PIXELS", "MIN_PIXELS", "VIDEO_MAX_PIXELS", "VIDEO_MIN_PIXELS", "VIDEO_TOTAL_PIXELS", "IMAGE_MAX_TOKEN_NUM", "IMAGE_MIN_TOKEN_NUM",
    "VIDEO_MAX_TOKEN_NUM", "VIDEO_MIN_TOKEN_NUM", "FPS", "FPS_MAX_FRAMES", "FPS_MIN_FRAMES", "NFRAMES", "MAX_NUM", "INPUT_SIZE",
    "VIDEO_MAX_NUM", "VIDEO_SEGMENTS", "MAX_SLICE_NUMS", "VIDEO_MAX_SLICE_NUMS", "MAX_NUM_FRAMES", "SIZE_FACTOR", "ENABLE_AUDIO_OUTPUT",
    "USE_AUDIO_IN_VIDEO", "QWENVL_BBOX_FORMAT", "CELOSS_PARALLEL_SIZE", "SWIFT_UI_LANG", "USE_OPENMIND_HUB", "DISABLE_VERSION_CHECK",
)  # fmt: skip
_DEVICES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ASCEND_RT_VISIBLE_DEVICES")
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def apply(verb: Verb, settings: Settings, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Apply launch variables to the settings and return notes for the user.

    Args:
        verb: the verb that is run.
        settings: the settings of the run, changed in place.
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
            number = _number(name, value)
            notes += _set(settings, path, number, f"{name}={value}", known=path in own, trivial=number == 1)
    notes += _rendezvous(settings, environment, launches="launcher" in verb.parts)
    notes += _hub(settings, environment, known="hub" in own)
    for name in _NO_EFFECT:
        if environment.get(name, "").strip():
            notes.append(f"{name}={environment[name]} has no effect: swift does not read it")
    return [*notes, *(_devices(settings, environment) if "processes" in own else ())]


def _set(settings: Settings, path: str, value: object, variable: str, *, known: bool, trivial: bool = False) -> Iterator[str]:
    flag = "--" + path.replace("_", "-")
    given = _given(settings, path)
    if not known:
        if not trivial:
            yield f"{variable} has no effect on this command"
    elif given is not None:
        if str(given) != str(value):
            yield f"{variable} has no effect: {flag} {given} is given"
    elif not trivial:
        settings.set(path, value)
        yield f"{variable}: using {flag} {value}"


def _rendezvous(settings: Settings, environment: Mapping[str, str], *, launches: bool) -> Iterator[str]:
    """Apply the rendezvous variables (node rank, master address and port), which matter only for multi-node runs."""
    found = {name: environment[name].strip() for name in _RENDEZVOUS if environment.get(name, "").strip()}
    if not found or not launches:
        return
    variables = " ".join(f"{name}={value}" for name, value in found.items())
    if int(_given(settings, "nodes") or 1) == 1:
        yield f"{variables} has no effect on a single node, where the rendezvous address is chosen automatically"
        return
    if _given(settings, "launcher") is None:
        settings.set("launcher", "torchrun")
        yield "multi-node run: using --launcher torchrun"
    if _given(settings, "launcher") != "torchrun":
        yield f"{variables} has no effect: --launcher {_given(settings, 'launcher')} sets up the rendezvous itself"
        return
    for name, value in found.items():
        number = name != "MASTER_ADDR"
        yield from _set(settings, _RENDEZVOUS[name], _number(name, value) if number else value, f"{name}={value}", known=True)


def _hub(settings: Settings, environment: Mapping[str, str], *, known: bool) -> Iterator[str]:
    for name, (on, off) in _HUBS.items():
        value = environment.get(name, "").strip().lower()
        if value and known:
            if value not in _TRUE + _FALSE:
                raise UsageError(f"must be 1 or 0, not '{value}'", where=name, hint="Or use --hub hf or --hub ms.")
            hub = on if value in _TRUE else off
            yield from _set(settings, "hub", hub, f"{name}={environment[name]}", known=True, trivial=hub == "hf")


def _devices(settings: Settings, environment: Mapping[str, str]) -> Iterator[str]:
    """Compare the number of visible devices with the number of processes; the workers read the variable itself."""
    name = next((name for name in _DEVICES if environment.get(name, "").strip()), "")
    processes = _given(settings, "processes") or 1
    if not name or str(_given(settings, "device") or "auto").startswith("cpu") or not str(processes).isdecimal():
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
        raise UsageError(message, where="LOCAL_RANK, WORLD_SIZE", hint=hint)


def _given(settings: Settings, path: str) -> Any:
    """Return the value that the command line or its YAML gives for a path; None if neither does."""
    node: Any = settings.values
    for key in path.split("."):
        if not isinstance(node, dict):
            return None
        node = node.get(key, node.get(key.replace("_", "-")))
    return node.get("name") if isinstance(node, dict) else node


def _number(name: str, value: str) -> int:
    if not value.isdecimal():
        raise UsageError(f"must be a number, not '{value}'", where=name, hint="Set it to a number, or unset it and use the option instead.")
    return int(value)
