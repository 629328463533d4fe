"""Facts that must be equal on every node: versions, plugins, settings, model and data. Collected in seconds: large files are
fingerprinted by their size, beginning and end."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from swift_core.contract import Run, SwiftError, __version__
from swift_core.plugins import PLUGIN_GROUP
from swift_core.system import paths, read_run

ABSENT = "absent"
RUN_FOLDER = "the run folder"
SAME = "All nodes need the same versions, plugins, model and data, and access to the run folder under the same path."
_LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors", "peft", "deepspeed", "bitsandbytes")
_WHOLE = 1 << 20  # files up to this number of bytes are hashed whole

Facts = Mapping[str, str]


def facts_of(folder: Path) -> dict[str, str]:
    """Return the facts of this node for the run in `folder`, as label → value."""
    found = {"Python": f"{sys.version_info.major}.{sys.version_info.minor}", "swift-core": __version__}
    found |= {name: version for name in _LIBRARIES if (version := _version(name))}
    for point in importlib.metadata.entry_points(group=PLUGIN_GROUP):
        if point.dist:
            found[f"the plugin {point.dist.name}"] = point.dist.version
    if not (folder / "run.json").is_file():
        return found | {RUN_FOLDER: ABSENT}
    run = read_run(folder)
    return found | {RUN_FOLDER: "present"} | dict(_settings(run)) | dict(_files(run))


def differences(ours: Facts, theirs: Facts, *, we: str, they: str) -> list[str]:
    """Return one sentence per difference between the facts `ours` of node 0 (named `we`) and `theirs` of the node `they`."""
    if theirs.get(RUN_FOLDER) == ABSENT:  # without it nothing of the run can be compared
        ours = {label: value for label, value in ours.items() if label in theirs}
    return [
        f"{they}: {label} is {theirs.get(label, ABSENT)}, but {ours.get(label, ABSENT)} on {we}"
        for label in sorted({*ours, *theirs})
        if ours.get(label, ABSENT) != theirs.get(label, ABSENT)
    ]


def unseen(folder: Path, *, we: str, they: str) -> str:
    """Return the sentence on a node that has no access to the run folder of node 0."""
    return f"{they} has no access to the run folder {folder} of {we}: set --runs to a folder on storage shared by all nodes"


def fingerprint(path: Path) -> str:
    """Return a hash over the names, sizes and contents of a file, or of a folder's files; of large files, only both ends are read."""
    if not path.exists():
        return ABSENT
    files = [path] if path.is_file() else sorted(item for item in path.rglob("*") if item.is_file())
    digest = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        digest.update(f"{file.relative_to(path) if file != path else file.name} {size}\n".encode())
        with file.open("rb") as content:
            digest.update(content.read(_WHOLE))
            if size > _WHOLE:
                content.seek(max(_WHOLE, size - _WHOLE))
                digest.update(content.read())
    return digest.hexdigest()[:16]


def _settings(run: Run) -> Iterator[tuple[str, str]]:
    yield "the command", run.verb
    for name, value in run.options_with_effect().items():
        yield f"the option {name}", json.dumps(value, sort_keys=True)
    for kind, choice in run.parts.items():
        if kind != "launcher":  # its options differ by node
            yield f"the {kind}", f"{choice.name} {json.dumps(choice.options, sort_keys=True)}"


def _files(run: Run) -> Iterator[tuple[str, str]]:
    for name, source in {"the model": run.model, **{f"the adapter {name}": source for name, source in run.adapters.items()}}.items():
        if source:
            yield f"{name} {source.reference}", fingerprint(Path(source.path))
    for choice in (*run.datasets, *run.validation):
        try:
            files = choice.build().fetch()
            yield f"the dataset {choice.asked}", paths.digest([[file.name, fingerprint(file)] for file in files])[:16]
        except SwiftError as error:
            yield f"the dataset {choice.asked}", f"unreadable ({error.message})"
    for file in run.plugins:
        yield f"the plugin file {Path(file).name}", paths.sha256(Path(file))[:16] if Path(file).is_file() else ABSENT


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
