"""Environment variables of other training tools: numbers of processes and nodes, visible devices, and those of media inputs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping

from swift_core.contract import Settings, UsageError, VerbSpec
from swift_core.options import fields
from swift_core.runs import set_option, variable_number
from swift_train.media_variables import OPTIONS, options_of

_NUMBERS: Mapping[str, str] = {"NPROC_PER_NODE": "processes", "NNODES": "nodes"}
_DECIMAL = re.compile(r"\d+\.\d+")
_TEXT_ONLY = ("pretrain", "pt")
_NO_EFFECT = (
    "VIDEO_MIN_PIXELS", "VIDEO_TOTAL_PIXELS", "IMAGE_MAX_TOKEN_NUM", "IMAGE_MIN_TOKEN_NUM",
    "VIDEO_MAX_TOKEN_NUM", "VIDEO_MIN_TOKEN_NUM", "FPS_MIN_FRAMES", "NFRAMES", "MAX_NUM", "INPUT_SIZE",
    "VIDEO_MAX_NUM", "VIDEO_SEGMENTS", "MAX_SLICE_NUMS", "VIDEO_MAX_SLICE_NUMS", "SIZE_FACTOR", "ENABLE_AUDIO_OUTPUT",
    "USE_AUDIO_IN_VIDEO", "QWENVL_BBOX_FORMAT", "CELOSS_PARALLEL_SIZE", "SWIFT_UI_LANG", "USE_OPENMIND_HUB", "DISABLE_VERSION_CHECK",
)  # fmt: skip
_LIBRARIES = ("PYTORCH_", "NCCL_", "CUDA_", "OMP_", "TOKENIZERS_PARALLELISM", "HCCL_")  # harmless settings of libraries
_NODE = ("NODE_RANK", "MASTER_ADDR", "MASTER_PORT")
_DEVICES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ASCEND_RT_VISIBLE_DEVICES")


def apply(verb: VerbSpec, settings: Settings, environment: Mapping[str, str]) -> Iterator[str]:
    """Apply the variables to the settings of a run, and yield notes for the user.

    Raises:
        UsageError: a value is not a number, or a distributed launcher started this command once per process.
    """
    environment = {**_of_file(settings), **environment}
    own = {field.path for field in fields.fields(verb.options)}
    if "processes" in own:
        _refuse_launched(environment)
    for name, path in _NUMBERS.items():
        if value := environment.get(name, "").strip():
            number = variable_number(name, value)
            yield from set_option(settings, path, number, f"{name}={value}", known=path in own, trivial=number == 1)
    for name in _NO_EFFECT:
        if environment.get(name, "").strip():
            yield f"{name}={environment[name]} has no effect: swift does not read it"
    yield from _media(verb, settings, environment)
    if "processes" in own:
        yield from _devices(settings, environment)


def _of_file(settings: Settings) -> dict[str, str]:
    """Take the variables that ms-swift's files have under `ENV`, and the number of processes of `device_groups` (Ray).

    Variables of libraries are set for this process and its workers.

    Raises:
        UsageError: a variable is neither read here nor one of those libraries.
    """
    found = settings.values.pop("ENV", None) or {}
    given = {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}
    groups = settings.values.pop("device_groups", None)
    if isinstance(groups, dict) and groups.get("nproc_per_node"):
        given.setdefault("NPROC_PER_NODE", str(groups["nproc_per_node"]))
    for name, value in given.items():
        if name.startswith(_LIBRARIES):
            os.environ.setdefault(name, value)
        elif name not in (*_NUMBERS, *OPTIONS, *_NO_EFFECT, *_DEVICES, *_NODE):
            hint = f"Set it in front of the command: {name}={value} swift …"
            raise UsageError("a file can't set this variable", code="RUN-028", where=f"ENV.{name}", hint=hint)
    return given


def _media(verb: VerbSpec, settings: Settings, environment: Mapping[str, str]) -> Iterator[str]:
    """Apply the limits of pixels and frames that ms-swift reads from variables to the options of a training task."""
    for path, value in options_of(settings.values.pop("model_kwargs", None) or {}):
        settings.set(f"task.{path}" if verb.name == "train" else path, float(value) if path == "media.fps" else int(value))
        yield f"model_kwargs: using --{path.replace('_', '-')} {value}"
    for name, option in OPTIONS.items():
        if value := environment.get(name, "").strip():
            path = f"task.media.{option}" if verb.name == "train" else f"media.{option}"
            known = verb.main == "task" and verb.name not in _TEXT_ONLY
            number = float(value) if option == "fps" and _DECIMAL.fullmatch(value) else variable_number(name, value)
            yield from set_option(settings, path, number, f"{name}={value}", known=known)


def _devices(settings: Settings, environment: Mapping[str, str]) -> Iterator[str]:
    """Compare the number of visible devices with the number of processes; the workers read the variable itself."""
    name = next((name for name in _DEVICES if environment.get(name, "").strip()), "")
    processes = settings.given("processes") or 1
    if not name or str(settings.given("device") or "auto").startswith("cpu") or not str(processes).isdecimal():
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
