"""The training job of `swift sft` and `swift pretrain`: the data first, since most mistakes are there, then the model, then the loop."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from swift_core.checkpoints import Manifest, family_of, write_manifest
from swift_core.contract import Choice, Ref, Run, SwiftError, TunerSpec, UsageError
from swift_core.plugins import registry
from swift_core.system import atomic_folder, output_path, write_json
from swift_train.adapters import inner_model
from swift_train.build import attach, base_of, load_base
from swift_train.callbacks import Callbacks
from swift_train.checkpoints import run_on_all_ranks
from swift_train.custom_template import use_template
from swift_train.data import Preprocessing, load_samples
from swift_train.disk_space import check_disk_space, copy_model, training_size
from swift_train.heads import head_of_run
from swift_train.loader_record import loader_record_of
from swift_train.loop import Loop
from swift_train.masks import pieces
from swift_train.options import ChatOptions, peak_learning_rate
from swift_train.placement_report import write_report
from swift_train.processors import tokenizer_of
from swift_train.reference import add_columns
from swift_train.resume import resume_of
from swift_train.roles import RemarkingTuner, ScheduledTuner
from swift_train.row_isolation import ONE_ROW, check_isolation, isolation_of, max_sequences
from swift_train.samples import Samples
from swift_train.save_model import versions
from swift_train.stream import Stream
from swift_train.template_date import fix_date
from swift_train.template_facts import generation_facts, golden, template_facts
from swift_train.watchdog import Watchdog, WatchedTask

if TYPE_CHECKING:
    from torch.nn import Module
    from torch.optim import Optimizer

    from swift_core.runs import Report
    from swift_train.options import TrainOptions
    from swift_train.roles import Loaded
    from swift_train.strategy import Strategy
    from swift_train.tasks import LossTask

_PATIENCE = 2.5  # factor on the timeout for reading or writing a whole model, which makes no watchdog mark meanwhile
# options that determine the number of steps and rows per step, which the loop compares itself
_COUNTED = ("max_steps", "epochs", "batch_size", "gradient_accumulation_steps")


def train(run: Run, report: Report) -> tuple[Path, dict[str, Any]]:
    """Train a model and write the final checkpoint.

    Returns:
        The checkpoint's folder, and figures: steps, tokens, supervised, seconds, loss_first, loss_last, heldout_before, heldout_after.

    Raises:
        UsageError: data, model or options are wrong.
        Stopped: a stop was requested; the state is in a checkpoint.
    """
    task: LossTask = run.part("task").build()
    options = task.options
    resume, callbacks = resume_of(run, report.folder), Callbacks(run, report)
    shapes = load_base(run, "meta")  # tokenizer and configuration, without weights
    rows, heldout = load_rows(run, task, shapes, report)
    strategy: Strategy = _strategy(run)
    watchdog = Watchdog(report, float(run.part("parallel").options["timeout"]))
    watchdog.stage("loading the model", patience=_PATIENCE)
    with watchdog:
        callbacks.watchdog = watchdog
        callbacks.call("on_load_begin")
        trainer = _Trainer(run, options, shapes.processor, strategy, watchdog)
        report.progress("load", 0, 1)
        trainer.build()
        for remark in trainer.tuner.remarks if isinstance(trainer.tuner, RemarkingTuner) else ():
            report.note(remark)
        callbacks.training.model = trainer.module
        callbacks.call("on_load_end")
        watchdog.stage("checking row isolation")
        max_length = max_length_of(shapes, options)
        isolation = isolation_of(strategy, WatchedTask(task, watchdog), rows, heldout, max_length)
        write_report(strategy, run.part("parallel").name, isolation, report.folder)
        check_isolation(isolation, options, strategy, max_sequences(rows))
        if not isolation.together and isolation.reason != ONE_ROW:
            report.note(f"Rows are computed one by one, which is correct but slower: {isolation.reason}.")
        report.progress("load", 1, 1)
        loop = Loop(
            task=task, strategy=strategy, rows=rows, heldout=heldout, options=options, rate=trainer.rate,
            max_length=max_length, isolation=isolation, setup=trainer.setup(rows), run=run.to_json(), write_model=trainer.write,
            report=report, watchdog=watchdog, callbacks=callbacks,
        )  # fmt: skip
        for samples, what in ((rows, "reference"), (heldout, "reference held out")) if task.reference else ():
            watchdog.stage(f"{what} log-probabilities")
            add_columns(samples, loop.task, strategy, loop.batches, partial(report.progress, what, unit="rows"))
        trainer.prepare(loop.total, resuming=resume is not None)
        check_disk_space(strategy, trainer.size, run, report, keep=options.save_total_limit)
        figures = loop.run(resume)
        out, written = output_path(run, report.folder), loop.last
        if options.load_best_model_at_end and (best := loop.best()):
            report.note(f"The output is the model of {best.name}, the best by {options.metric_for_best_model}.")
            written = best
        watchdog.stage("writing the final checkpoint", patience=_PATIENCE)
        try:
            trainer.finish(out, figures, written)
        except SwiftError as error:
            if not written:
                raise
            hint = f"{error.hint} {_recovery_hint(written, report.folder)}".strip()
            raise error.with_context(hint=hint) from error.__cause__
        callbacks.call("on_train_end", out)
    return out, figures


def _recovery_hint(checkpoint: Path, folder: Path) -> str:
    """Explain how to get the trained model if the output could not be written."""
    model, run = shlex.quote(str(checkpoint.absolute() / "model")), shlex.quote(str(folder.absolute()))
    return (
        f"The trained model is in {model}, an ordinary checkpoint. To write it elsewhere: "
        f"cp -r {model} FOLDER, or the same command with --resume {run} --output FOLDER"
    )


def load_rows(run: Run, task: LossTask, shapes: Loaded, report: Report) -> tuple[Samples | Stream, Samples | None]:
    """Load the training rows and the held-out rows (None if there are none), and write `mask_sample.json` with the first training row."""
    options, heldout = task.options, None
    preprocessing = preprocessing_of(run, task, shapes)
    if date := preprocessing.encoder.settings.get("date"):
        report.note(f"The chat template renders the date: it is {date} in all rows of this run, also after a resume.")
    if run.validation:
        heldout = load_samples(run.validation, preprocessing, report, seed=options.seed, what="tokenise held out")
    rows: Samples | Stream
    if preprocessing.options.get("streaming"):
        rows = Stream(run.datasets, preprocessing, report, seed=options.seed)
        first = rows.head()[0]
    else:
        rows = load_samples(run.datasets, preprocessing, report, seed=options.seed)
        if heldout is None and options.validation_ratio:
            rows, heldout = rows.split(options.validation_ratio, options.seed)
        first = rows[0]
        rows, heldout = task.arrange(rows), task.arrange(heldout) if heldout else None
    if report.speaks:
        shown = pieces(preprocessing.encoder.tokeniser.tokenizer, first.ids.tolist(), first.supervised.tolist())
        counts = {"tokens": len(first.ids), "supervised": int(first.supervised.sum())}
        write_json(report.folder / "mask_sample.json", {"row": first.origin, **counts, "pieces": shown})
    return rows, heldout


def preprocessing_of(run: Run, task: LossTask, shapes: Loaded) -> Preprocessing:
    """Return how the run's rows become samples for its model."""
    tokenizer = tokenizer_of(shapes.processor)
    fix_date(tokenizer, run.date)
    if isinstance(task.options, ChatOptions):
        use_template(shapes.processor, task.options)
    data = run.options.get("data", {})
    media = Path(data["media_folder"]) if data.get("media_folder") else None
    encoder = task.encoder(tokenizer, stops=family_of(base_of(run)).stop_tokens, media=media)
    return Preprocessing(encoder=encoder, truncation=task.truncation, max_length=max_length_of(shapes, task.options), options=data)


def max_length_of(shapes: Loaded, options: TrainOptions) -> int:
    """Return the maximum tokens per row: the `max_length` option, else the model's maximum context length."""
    model: Any = shapes.model
    context: int | None = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return options.max_length or context or 1 << 30


class _Trainer:
    """Builds the model, tuner and optimizer for the strategy, and writes the model's checkpoints."""

    module: Module
    optimizer: Optimizer

    def __init__(self, run: Run, options: TrainOptions, processor: Any, strategy: Strategy, watchdog: Watchdog) -> None:
        self.run, self.options, self.processor, self.strategy, self.watchdog = run, options, processor, strategy, watchdog
        self.tuner = run.part("tuner").build()
        self.adapter = registry().spec(run.part("tuner"), TunerSpec).trains == "adapter"
        self.rate = peak_learning_rate(options.learning_rate, adapter=self.adapter)

    def build(self) -> None:
        """Let the strategy build the model and its optimizer."""
        self.strategy.build(self._load, self._optimizer)
        torch.manual_seed(self.options.seed + 1 + self.strategy.data_rank)  # dropout differs between ranks; new weights do not

    def prepare(self, steps: int, *, resuming: bool) -> None:
        """Prepare a tuner that depends on the number of updates (AdaLoRA); its own state is not in checkpoints.

        Raises:
            UsageError: the run resumes another, and the tuner can't.
        """
        if not isinstance(self.tuner, ScheduledTuner):
            return
        if resuming:
            name = self.run.part("tuner").name
            hint = "Start a new run from its checkpoint with --adapter."
            raise UsageError(f"a run with the tuner '{name}' can't be resumed", code="TRAIN-029", where="resume", hint=hint)
        self.tuner.prepare(self.module, self.optimizer, steps)

    def setup(self, rows: Samples | Stream) -> dict[str, Any]:
        """Return the settings that a resumed run must share with the original one, by name."""
        run = self.run
        chosen = {kind: run.parts[kind] for kind in ("task", "tuner", "quantizer", "optimizer", "parallel") if kind in run.parts}
        parts = {kind: choice.name for kind, choice in chosen.items()}
        options = {f"{kind}.{name}": value for kind, choice in chosen.items() for name, value in _with_effect(choice).items()}
        for name in _COUNTED:
            options.pop(f"task.{name}", None)
        model = {"model": base_of(run).hash, **{f"adapter.{name}": source.hash for name, source in run.adapters.items()}}
        loading = {name: run.options.get(name, "auto") for name in ("dtype", "attention")}
        return {**parts, **options, **model, **loading, "learning_rate": self.rate, "rows": rows.digest()}

    def finish(self, out: Path, figures: Mapping[str, Any], checkpoint: Path | None) -> None:
        """Write the output with the final figures: a copy of the model in a checkpoint, or the model itself if there is none."""
        if checkpoint is None:
            self.write(out, figures)
            return

        def copy() -> None:
            if self.strategy.writer:
                inside = out.parent.absolute() == checkpoint.parents[1].absolute()
                with atomic_folder(out, overwrite=bool(self.run.options.get("overwrite"))) as partial:
                    copy_model(checkpoint / "model", partial, link=inside)
                    write_manifest(partial, self._manifest(figures))
            self.watchdog.mark("waiting for the other ranks")

        run_on_all_ranks(self.strategy, out, copy)

    def write(self, folder: Path, figures: Mapping[str, Any]) -> None:
        """Write the model as a checkpoint folder. Collective, since the weights may be sharded."""
        weights = {name: tensor for name, tensor in self.strategy.weights(self._saved_names) if self.strategy.writer}
        self.watchdog.mark("weights gathered")

        def write() -> None:
            if self.strategy.writer:
                with atomic_folder(folder, overwrite=bool(self.run.options.get("overwrite"))) as partial:
                    self.tuner.save(self.module, partial, weights)
                    self.processor.save_pretrained(partial)
                    write_manifest(partial, self._manifest(figures))
            self.watchdog.mark("waiting for the other ranks")

        run_on_all_ranks(self.strategy, folder, write)

    def _load(self, device: torch.device) -> Module:
        torch.manual_seed(self.options.seed)  # new adapter weights: the same on every rank
        self.watchdog.mark("reading weights")
        module = attach(self.run, load_base(self.run, str(device)).model, self.tuner)
        if self.options.gradient_checkpointing:
            inner_model(module).gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        if self.options.compile:
            module.compile(dynamic=True)
        self.module = module
        self._saved_names = {name for name, parameter in module.named_parameters() if parameter.requires_grad or not self.adapter}
        self.size = training_size(module, self._saved_names)
        self.watchdog.mark("distributing weights")
        return module

    def _optimizer(self, module: Module) -> Optimizer:
        optimizer: Optimizer = self.run.part("optimizer").build().build(self.tuner.parameter_groups(module), self.rate)
        self.optimizer = optimizer
        return optimizer

    def _manifest(self, figures: Mapping[str, Any]) -> Manifest:
        run, base = self.run, base_of(self.run)
        tuner, quantizer = run.part("tuner"), run.parts.get("quantizer")
        return Manifest(
            kind="adapter" if self.adapter else "model",
            origin=run.verb,
            base={"reference": base.reference, "hash": base.hash, "path": base.path},
            family=base.family,
            dtype=str(run.options.get("dtype", "auto")),
            head=head_of_run(run),
            tuner={"name": tuner.name, "plugin": tuner.plugin, "options": dict(tuner.options)},
            quantizer={"name": quantizer.name, "plugin": quantizer.plugin, "options": dict(quantizer.options)} if quantizer else {},
            loader=loader_record_of(run.parts.get("loader")),
            template=template_facts(self.processor),
            golden=golden(self.processor),
            generation=generation_facts(inner_model(self.module), self.processor),
            figures=dict(figures),
            versions=versions(run),
        )


def _strategy(run: Run) -> Any:
    """Build the run's strategy, on the device given by the verb's `--device` unless the strategy has its own."""
    choice = run.part("parallel")
    device = {"device": run.options.get("device", "auto")} if choice.options.get("device", "auto") == "auto" else {}
    return dataclasses.replace(choice, options={**choice.options, **device}).build()


def _with_effect(choice: Choice) -> dict[str, Any]:
    """Return the options of a part that affect the result; a resumed run may change the others."""
    others = Ref(choice.options_class).load().without_effect() if choice.options_class else ()
    return {name: value for name, value in choice.options.items() if name not in others}
