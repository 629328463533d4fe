"""Known facts of a checkpoint, from its folder, its lineage and the evaluations of it: the facts of cards and bills of materials."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from swift_core.checkpoints import Checkpoint, Manifest
from swift_core.contract import DataChoice, ResultRecord, SwiftError
from swift_core.plugins import registry
from swift_core.system import made_by, read_result, read_run
from swift_provenance.licences import Terms, terms_of_checkpoint, terms_of_data
from swift_provenance.lineage import Made, history

_TRAINING = ("learning_rate", "batch_size", "epochs", "max_steps", "max_length", "warmup", "schedule", "weight_decay", "seed", "precision")


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """A data set that a checkpoint in the lineage was trained on; a local file by its name alone, without its folder."""

    name: str  # of the data set or file
    hash: str  # of its contents; empty if it is not known
    terms: Terms  # licence and origin
    use: str  # training or validation
    choice: DataChoice  # as the run had it


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A score of an evaluation of the checkpoint, with its confidence interval if there is one."""

    task: str  # the evaluation set
    metric: str  # such as accuracy
    value: float  # the score
    interval: tuple[float, float] | None  # 95 % confidence interval
    items: int | None  # number of questions


@dataclass(frozen=True)
class Description:
    """A checkpoint, with everything that was found about it."""

    checkpoint: Checkpoint  # what is described
    lineage: tuple[Made, ...]  # the checkpoint first
    scores: tuple[Score, ...] = ()  # of its evaluations
    terms: Terms = field(default_factory=Terms)  # its own licence and origin

    @property
    def manifest(self) -> Manifest:
        """Its manifest; an empty one if it has none."""
        return self.checkpoint.manifest or Manifest()

    @property
    def bases(self) -> tuple[Made, ...]:
        """The checkpoints and data that it was made from, the nearest first."""
        return self.lineage[1:]

    @cached_property
    def data(self) -> tuple[Data, ...]:
        """The data of all runs in the lineage, each once."""
        found = {(item.hash or item.name, item.use): item for made in self.lineage for item in _data(made)}
        return tuple(found.values())

    @cached_property
    def training(self) -> Made | None:
        """The nearest run that trained: the checkpoint's own, or that of what it was merged or quantized from."""
        return next((made for made in self.lineage if made.run and made.run.datasets and "tuner" in made.run.parts), None)

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The options of the nearest training that decide it."""
        run = self.training.run if self.training else None
        if run is None:
            return {}
        options = {**run.options, **(run.parts["task"].options if "task" in run.parts else {})}
        found = {name: options[name] for name in _TRAINING if options.get(name) not in (None, "")}
        for part in ("tuner", "optimizer", "quantizer"):
            if part in run.parts:
                found[part] = run.parts[part].name
        return found

    @property
    def result(self) -> ResultRecord:
        """The result of the nearest training; empty if it is not recorded."""
        folder = self.training.folder if self.training else None
        return (read_result(folder) or {}) if folder else {}

    def record(self, name: str) -> Mapping[str, Any]:
        """Return a JSON file of the run folder of the nearest training; {} if there is none."""
        folder = self.training.folder if self.training else None
        try:
            return dict(json.loads((folder / name).read_text(encoding="utf-8"))) if folder else {}
        except (OSError, ValueError):
            return {}

    @cached_property
    def parameters(self) -> int:
        """The number of stored weights, from the headers of its safetensors files; 0 if it has none."""
        return sum(_tensors(path) for path in self.checkpoint.weights if path.suffix == ".safetensors")

    @property
    def architecture(self) -> str:
        """The architecture as `config.json` names it, of an adapter that of its base; '' if unknown."""
        for made in self.lineage:
            if made.path.is_dir():
                try:
                    named = Checkpoint.at(made.path).config.get("architectures") or []
                except SwiftError:
                    continue
                if named:
                    return str(named[0])
        return ""

    @property
    def method(self) -> str:
        """The verb that made it, with its tuner and quantizer and their options."""
        made = [self.lineage[0].run.verb if self.lineage[0].run else self.manifest.origin]
        for record in (self.manifest.tuner, self.manifest.quantizer):
            if record:
                simple = {
                    key: value for key, value in record.get("options", {}).items() if isinstance(value, int | float | str) and value != ""
                }
                options = ", ".join(f"{key}={value}" for key, value in simple.items())
                made.append(f"{record.get('name', '')}{f' ({options})' if options else ''}")
        return ", ".join(filter(None, made))


def describe(path: Path, runs: Path = Path("runs")) -> Description:
    """Gather what is known of a checkpoint.

    Args:
        path: the checkpoint, or the folder of the run that made it.
        runs: the folder in which runs and evaluations are looked for.

    Raises:
        SwiftError: not a complete checkpoint, or a record in its lineage can't be read.
    """
    folder = path
    if (path / "run.json").is_file():
        folder = made_by(path) or path
    checkpoint = Checkpoint.at(folder)
    checkpoint.check()
    lineage = tuple(history(folder, runs))
    reference = lineage[1].reference if len(lineage) > 1 else ""
    terms = terms_of_checkpoint(folder, "" if reference.startswith("file:") else reference)
    return Description(checkpoint, lineage, tuple(_scores(checkpoint, runs)), terms)


def public_name(reference: str) -> str:
    """Return a reference without the folders of this machine."""
    scheme, _, rest = reference.rpartition(":")
    local = scheme in ("", "file")
    return rest.rstrip("/").rpartition("/")[2] if local else reference


def _data(made: Made) -> Iterator[Data]:
    if not made.run:
        return
    for use, choices in (("training", made.run.datasets), ("validation", made.run.validation)):
        for choice in choices:
            hub = choice.name == "hub" or not choice.options.get("path")
            name = choice.asked if hub else public_name(choice.asked)
            yield Data(name=name, hash=choice.hash, terms=_public(terms_of_data(choice, registry())), use=use, choice=choice)


def _public(terms: Terms) -> Terms:
    return Terms(terms.licence, terms.origin if "://" in terms.origin or not terms.origin.startswith(("/", ".", "~")) else "")


def _scores(checkpoint: Checkpoint, runs: Path) -> Iterator[Score]:
    """Yield the scores of the evaluations of a checkpoint, by its content hash; the last of a task and metric counts."""
    identity = checkpoint.hash()
    found: dict[tuple[str, str], Score] = {}
    for file in sorted(runs.glob("**/scores.json"), key=lambda path: path.stat().st_mtime):
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
            run = read_run(file.parent)
        except (OSError, ValueError, SwiftError):
            continue
        sources = list(run.adapters.values()) or ([run.model] if run.model else [])
        if [source.hash for source in sources] != [identity]:
            continue
        for task, metrics in record.get("scores", {}).items():
            for metric, score in metrics.items():
                interval = score.get("interval")
                bounds = (float(interval[0]), float(interval[1])) if interval else None
                found[task, metric] = Score(task=task, metric=metric, value=score["value"], interval=bounds, items=score.get("n"))
    yield from found.values()


def _tensors(path: Path) -> int:
    """Return the number of elements in a safetensors file (its header is JSON after an 8-byte length)."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header: dict[str, Any] = json.loads(file.read(length))
    total = 0
    for name, tensor in header.items():
        if name != "__metadata__":
            size = 1
            for dimension in tensor["shape"]:
                size *= dimension
            total += size
    return total
