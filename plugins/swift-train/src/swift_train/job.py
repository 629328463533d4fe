"""The training job of `swift sft` and `swift pretrain`: the data first, since most mistakes are there, then the model, then the loop."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.checkpoints import family_of
from swift_core.contract import ParallelSpec, Run, SwiftError, TaskSpec, UsageError
from swift_core.plugins import registry
from swift_core.system import output_path, write_json
from swift_train import tokenised_rows
from swift_train.averaged_weights import averaged_weights
from swift_train.build import base_of, load_base
from swift_train.callbacks import Callbacks
from swift_train.checkpoints import recovery_hint
from swift_train.custom_template import use_template
from swift_train.data import load_samples
from swift_train.devices import memory_figures
from swift_train.disk_space import check_disk_space
from swift_train.encoder_decoder import is_encoder_decoder, start_token
from swift_train.first_gradients import start_from_gradients
from swift_train.kernels import use_kernels
from swift_train.loop import Loop
from swift_train.masks import pieces
from swift_train.media.collate import media_collator
from swift_train.media.fillers import fill_towers
from swift_train.media.options import use_media_options
from swift_train.media.rows import RowMedia
from swift_train.media.speech import media_of
from swift_train.online import OnlineTask, Session
from swift_train.options import ChatOptions
from swift_train.placement_report import write_report
from swift_train.preprocessing import Preprocessing
from swift_train.processors import tokenizer_of
from swift_train.ranks import rank_and_size
from swift_train.reference import add_columns
from swift_train.resume import resume_of
from swift_train.roles import RemarkingTuner
from swift_train.row_isolation import ONE_ROW, check_isolation, isolation_of, max_sequences, tokens_of
from swift_train.sampler import StepSampler, make_sampler, rows_per_step
from swift_train.samples import Samples
from swift_train.shard_stream import stream_of
from swift_train.source_target import SourceTargetEncoder
from swift_train.speech import hears
from swift_train.speech_encoder import SpeechEncoder
from swift_train.strategy import TokenSharding
from swift_train.stream import Stream
from swift_train.tasks import LossTask, NextToken, SftTask, WarningTask
from swift_train.template_date import fix_date
from swift_train.trainer import Trainer
from swift_train.watchdog import Watchdog, WatchedTask

if TYPE_CHECKING:
    from swift_core.runs import Report
    from swift_train.media.collate import MediaCollator
    from swift_train.options import TrainOptions
    from swift_train.roles import Loaded
    from swift_train.strategy import Strategy
    from swift_train.tasks import Encoder

_PATIENCE = 2.5  # factor on the timeout for reading or writing a whole model, which makes no watchdog mark meanwhile


def train(run: Run, report: Report) -> tuple[Path | None, dict[str, Any]]:
    """Train a model and write the final checkpoint.

    Returns:
        The checkpoint's folder (None with `tokenize_only`), and figures:
        steps, tokens, supervised, seconds, loss_first, loss_last, heldout_before, heldout_after.

    Raises:
        UsageError: data, model or options are wrong.
        Stopped: a stop was requested; the state is in a checkpoint.
    """
    task: LossTask = run.part("task").build()
    options = task.options
    resume, callbacks = resume_of(run, report.folder), Callbacks(run, report)
    shapes = load_base(run, "meta")  # tokenizer and configuration, without weights
    rows, heldout = load_rows(run, task, shapes, report)
    if run.options.get("tokenize_only"):
        return tokenised_rows.write(run, rows, heldout)
    media = media_collator(shapes)
    strategy: Strategy = _strategy(run)
    watchdog = Watchdog(report, float(run.part("parallel").options["timeout"]))
    watchdog.stage("loading the model", patience=_PATIENCE)
    with watchdog, ExitStack() as stack:
        callbacks.training.watchdog = watchdog
        callbacks.call("on_load_begin")
        trainer = Trainer(run, task, shapes.processor, strategy, watchdog)
        report.progress("load", 0, 1)
        _build(trainer, rows, report)
        fill_towers(trainer.module, media, rows, heldout, processes=_holders(run))
        callbacks.training.model = trainer.module
        callbacks.call("on_load_end")
        watchdog.stage("checking kernels")
        watched = WatchedTask(task, watchdog)
        kernels = use_kernels(options.kernels, strategy, watched, _text_tokens(rows, media), report.note)
        watchdog.stage("checking row isolation")
        max_length = max_length_of(shapes, options)
        asked = run.options.get("attention", "auto")
        isolation = isolation_of(strategy, watched, rows, heldout, max_length, attention=asked, media=media)
        write_report(strategy, run.part("parallel").name, isolation, kernels, report.folder)
        check_isolation(isolation, options, strategy, max_sequences(rows))
        if not isolation.together and isolation.reason != ONE_ROW:
            report.note(f"Rows are computed one by one, which is correct but slower: {isolation.reason}.")
        report.progress("load", 1, 1)
        session = Session(
            run=run, report=report, strategy=strategy, watchdog=watchdog, trainer=trainer, rows_per_step=rows_per_step(options, strategy),
            context=context_of(shapes), vocabulary=vocabulary_of(shapes), heldout=heldout, resume=resume,
        )  # fmt: skip
        sampler = stack.enter_context(_sampler(task, rows, session, max_length))
        loop = Loop(
            task=task, strategy=strategy, sampler=sampler, heldout=heldout, options=options, rate=trainer.rate, max_length=max_length,
            isolation=isolation, media=media, setup=trainer.setup(rows), run=run.to_json(), write_model=trainer.write, report=report,
            watchdog=watchdog, callbacks=callbacks, evaluated_weights=partial(averaged_weights, trainer.optimizer),
        )  # fmt: skip
        for samples, what in ((rows, "reference"), (heldout, "reference held out")) if task.reference else ():
            watchdog.stage(f"{what} log-probabilities")
            add_columns(samples, loop.task, strategy, loop.batches, partial(report.progress, what, unit="rows"))
        trainer.prepare(loop.total, resuming=resume is not None)
        check_disk_space(strategy, trainer.size, run, report, keep=options.save_total_limit)
        figures = {**loop.run(resume), **memory_figures(strategy.device)}
        out, written = output_path(run, report.folder), _written(loop, options, report)
        watchdog.stage("writing the final checkpoint", patience=_PATIENCE)
        try:
            trainer.finish(out, figures, written)
        except SwiftError as error:
            if not written:
                raise
            hint = f"{error.hint} {recovery_hint(written, report.folder)}".strip()
            raise error.with_context(hint=hint) from error.__cause__
        callbacks.call("on_train_end", out)
    return out, figures


def _build(trainer: Trainer, rows: Samples | Stream, report: Report) -> None:
    """Build the model, and report the remarks of its tuner."""
    start_from_gradients(trainer.tuner, trainer.task, rows)
    trainer.build()
    for remark in trainer.tuner.remarks if isinstance(trainer.tuner, RemarkingTuner) else ():
        report.note(remark)


def _holders(run: Run) -> int:
    """Return over how many processes the weights are sharded: 1 if each has them all."""
    return rank_and_size()[1] if registry().spec(run.part("parallel"), ParallelSpec).shards else 1


def _written(loop: Loop, options: TrainOptions, report: Report) -> Path | None:
    """Return the checkpoint whose model is the output: the last one, or the best; None if none could be written."""
    if not options.load_best_model_at_end:
        return loop.last
    best = loop.best()
    if best:
        report.note(f"The output is the model of {best.name}, the best by {options.metric_for_best_model}.")
    else:
        report.note(f"WARNING: no checkpoint has a finite {options.metric_for_best_model}; the output is the model of the last step.")
    return best or loop.last


def _text_tokens(rows: Samples | Stream, media: MediaCollator | None) -> list[int]:
    """Return token ids of the rows that stand for text."""
    found = tokens_of(rows if isinstance(rows, Samples) else rows.head())
    return sorted(found - media.processor.token_ids if media else found)


def _sampler(task: LossTask, rows: Samples | Stream, session: Session, max_length: int) -> AbstractContextManager[StepSampler]:
    """Return what chooses the rows of each step.

    Raises:
        UsageError: the rows are sampled during the training, and their prompts are streamed.
    """
    if not isinstance(task, OnlineTask):
        return nullcontext(make_sampler(rows, session.rows_per_step, task.options, max_length))
    if not isinstance(rows, Samples):
        message = "prompts can't be streamed: their answers are sampled in a fixed order"
        raise UsageError(message, code="TRAIN-133", where="data.streaming", hint="Omit --data.streaming.")
    return task.feed(rows, session)


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
        rows = stream_of(run.datasets, preprocessing, report, seed=options.seed, shuffle=options.shuffle)
        first = rows.head()[0]
    else:
        rows = _mixed(load_samples(run.datasets, preprocessing, report, seed=options.seed), preprocessing.options, options.seed)
        if heldout is None and options.validation_ratio:
            rows, heldout = rows.split(options.validation_ratio, options.seed)
            if report.speaks:
                places = dict.fromkeys(heldout.origin(index) for index in range(len(heldout)))
                write_json(report.folder / "held_out.json", {"rows": [*places]})
        first = rows[0]
        for text in task.warnings(rows) if isinstance(task, WarningTask) else ():
            report.note(f"WARNING: {text}")
        rows, heldout = task.arrange(rows), task.arrange(heldout) if heldout else None
    if report.speaks and not isinstance(task, OnlineTask):
        shown = pieces(preprocessing.encoder.tokeniser.tokenizer, first.ids.tolist(), first.supervised.tolist())
        counts = {"tokens": len(first.ids), "supervised": int(first.supervised.sum())}
        write_json(report.folder / "mask_sample.json", {"row": first.origin, **counts, "pieces": shown})
    return rows, heldout


def _mixed(rows: Samples, options: Mapping[str, Any], seed: int) -> Samples:
    """Return the rows, mixed by the probabilities of their data sets if there are any."""
    return rows.mix(options["probabilities"], options["stopping"], seed) if options.get("probabilities") else rows


def preprocessing_of(run: Run, task: LossTask, shapes: Loaded) -> Preprocessing:
    """Return how the run's rows become samples for its model."""
    tokenizer = tokenizer_of(shapes.processor)
    fix_date(tokenizer, run.date)
    if isinstance(task.options, ChatOptions):
        use_template(shapes.processor, task.options)
        use_media_options(shapes.processor, task.options.media)
    data = run.options.get("data", {})
    media = RowMedia(Path(data["media_folder"]) if data.get("media_folder") else None, media_of(shapes))
    encoder = _encoder(task, shapes, family_of(base_of(run)).stop_tokens, media)
    return Preprocessing(encoder=encoder, truncation=task.truncation, max_length=max_length_of(shapes, task.options), options=data)


def _encoder(task: LossTask, shapes: Loaded, stops: Sequence[str], media: RowMedia) -> Encoder:
    """Return the encoder of the rows for the kind of model: a decoder, or an encoder-decoder.

    Raises:
        UsageError: the task is not one for the kind of model.
    """
    tokenizer, model = tokenizer_of(shapes.processor), shapes.model
    if is_encoder_decoder(model):
        of_answers: object = task
        if not isinstance(of_answers, SftTask):
            hint = "swift sft trains it; this task needs a decoder, such as Qwen3 or Llama."
            raise UsageError("the model is an encoder-decoder", code="TRAIN-236", where="model", hint=hint)
        if hears(model):
            return SpeechEncoder(tokenizer, of_answers.options, media, start_token(model, tokenizer.pad_token_id))
        return SourceTargetEncoder(tokenizer, of_answers.options, stops, max_length_of(shapes, task.options))
    if isinstance(task, NextToken) and type(model).__name__.endswith("ForMaskedLM"):
        hint = "Train a head on it: swift seq-cls, swift embedding, swift reranker."
        raise UsageError("the model predicts masked words, not the next token", code="TRAIN-237", where="model", hint=hint)
    return task.encoder(tokenizer, stops=stops, media=media)


def max_length_of(shapes: Loaded, options: TrainOptions) -> int:
    """Return the maximum tokens per row: the `max_length` option, else the model's maximum context length."""
    return options.max_length or context_of(shapes)


def context_of(shapes: Loaded) -> int:
    """Return the model's maximum context length."""
    model: Any = shapes.model
    config = model.config.get_text_config()
    found = [getattr(config, name, None) for name in ("max_position_embeddings", "max_target_positions")]  # the latter of decoders
    return next((value for value in found if value), 1 << 30)


def vocabulary_of(shapes: Loaded) -> int:
    """Return the number of the model's token ids."""
    model: Any = shapes.model
    return int(model.config.get_text_config().vocab_size)


def _strategy(run: Run) -> Any:
    """Build the run's strategy, on the device given by the verb's `--device` unless the strategy has its own."""
    choice = run.part("parallel")
    device = {"device": run.options.get("device", "auto")} if choice.options.get("device", "auto") == "auto" else {}
    strategy = dataclasses.replace(choice, options={**choice.options, **device}).build()
    if isinstance(strategy, TokenSharding):
        strategy.whole_rows = registry().spec(run.part("task"), TaskSpec).loss_scope != "token"
    return strategy
