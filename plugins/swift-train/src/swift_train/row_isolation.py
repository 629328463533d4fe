"""Row isolation: test on the loaded model whether rows that share a forward pass affect each other (cross-contamination).

transformers separates packed rows by their position ids, but many architectures build their attention masks without them, recurrent layers
and convolutions carry state from one row into the next, and some models recompute positions. None of that raises an error; it only
changes the loss. So the losses of a short row are computed in several passes (`swift_train.row_probe`) and compared:

- *Between rows A and C, versus between other rows B and D of the same lengths.* The shapes are equal, so a model that isolates rows gives
  the same numbers in any dtype. B's later position ids reach the length of the run's longest row, to detect rotary embeddings that depend
  on the largest position of the pass.
- *Between A and C, versus before other rows, in a pass of the same length.* Position ids counted through the whole pass shift every token
  of the row, which changes the median; a few tokens of a mixture of experts that are routed to another expert do not.
- *Before other rows, versus alone.* Other kernels may be used there, so the tolerance in bfloat16 is coarse.

The noise level is the change caused by rows *after* the scored tokens, which a causal model can't attend to. A change of the row's own
first tokens must be visible clearly above the noise; otherwise the result is unknown, and rows are computed one by one. In an encoder,
tokens attend to all tokens of their row, and the noise level is the least one.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from swift_core.contract import UsageError
from swift_train import row_attention
from swift_train.batches import RowBoundaries, micro_of
from swift_train.media.isolation import media_problem
from swift_train.row_comparison import UNKNOWN, Comparison, Isolation, Noise, one_by_one
from swift_train.row_groups import RowGroup
from swift_train.row_probe import ProbeFailed, RowProbe, root_mean_square
from swift_train.samples import Samples

if TYPE_CHECKING:
    from swift_train.media.collate import MediaCollator
    from swift_train.options import TrainOptions
    from swift_train.strategy import Passes, Strategy
    from swift_train.stream import Stream
    from swift_train.tasks import ForwardLoss
    from swift_train.watchdog import WatchedTask

ONE_ROW = "the options put one row in each forward pass"

_SAMPLED_ROWS = 64  # rows whose tokens are used for the probe
_DISTINCT = 8  # minimum number of different token ids


def isolation_of(
    strategy: Strategy, task: WatchedTask, rows: Samples | Stream, heldout: Samples | None, longest: int, *, attention: str = "auto",
    media: MediaCollator | None = None,
) -> Isolation:  # fmt: skip
    """Determine whether a run's rows may share a forward pass. Collective; the result is the same on all processes.

    The model is not probed if every pass has one row and rows are not padded to a fixed shape.

    Args:
        strategy, task: they compute the losses; the strategy is built.
        rows, heldout: training and validation rows of the run.
        longest: maximum tokens of a streamed row.
        attention: the attention implementation that the user asked for; with `auto`, that of several rows in a pass may be replaced.
        media: builds the tensors of rows with media.
    """
    options = task.options
    if not (
        max_sequences(rows) > 1 or options.packing or options.batch_size > 1 or (options.eval_batch_size or 1) > 1 or strategy.fixed_shapes
    ):
        return one_by_one(ONE_ROW)
    first, known = (rows, [rows]) if isinstance(rows, Samples) else (rows.head(), [])
    tokens = tokens_of(first)
    lengths = [int(samples.lengths.max()) for samples in (*known, heldout) if samples is not None]
    longest = max(lengths) if known else longest
    seen = next((samples for samples in (first, heldout) if samples is not None and samples.media_counts.any()), None)
    if media is not None and seen is not None:
        found = probe_isolation(strategy, task, sorted(tokens - media.processor.token_ids), longest)
        return with_media(strategy, task, seen, media, found) if found.together else found
    found = probe_isolation(strategy, task, sorted(tokens), longest)
    if attention != "auto" or options.compile or strategy.fixed_shapes:
        return found
    found = with_row_attention(strategy, task, sorted(tokens), longest, found)
    return replace(found, separate_prefixes=found.separate_prefixes or task.whole_rows)


def tokens_of(rows: Samples) -> set[int]:
    """Return the token ids that occur in the first rows."""
    parts = (part for place in range(min(len(rows), _SAMPLED_ROWS)) for part in rows.sequences(place))
    return {token for part in parts for token in part.ids.tolist()}


def with_media(strategy: Strategy, task: ForwardLoss, samples: Samples, media: MediaCollator, isolation: Isolation) -> Isolation:
    """Return the isolation of rows of which some have media, given that of rows of text. Collective."""
    reason, figures = media_problem(strategy, task, samples, media, isolation.boundaries)
    return replace(isolation, reason=reason, figures={**isolation.figures, **figures})


def with_row_attention(strategy: Passes, task: ForwardLoss, tokens: Sequence[int], longest: int, isolation: Isolation) -> Isolation:
    """Install the attention of single rows (`swift_train.row_attention`) if the losses stay the same with it. Collective.

    It may also isolate rows that the model's own attention does not.

    Args:
        strategy, task: they compute the losses; the strategy is built.
        tokens: token ids that occur in the rows.
        longest: tokens of the longest row; a window or a chunk of attention is seen only by rows that exceed it.
        isolation: of the model with its own attention.
    """
    if not isolation.causal or isolation.boundaries is RowBoundaries.MROPE or len(set(tokens)) < _DISTINCT:
        return isolation
    with RowProbe(strategy, task, (tokens[0], tokens[-1])) as probe:
        comparison = Comparison(probe, tokens, longest)
        try:
            before = comparison.of_attention(isolation.boundaries) if isolation.together else comparison.alone()
        except ProbeFailed:
            return isolation
        if not strategy.reduce(float(probe.model is not None and row_attention.applies_to(probe.model)), "max"):
            return isolation
        assert probe.model is not None
        own = probe.model.config._attn_implementation
        if not row_attention.install(probe.model):
            return isolation
        found, difference = isolation, float("inf")
        with suppress(ProbeFailed):
            found = isolation if isolation.together else comparison.decide()
            after = comparison.of_attention(RowBoundaries.CU_SEQLENS) if isolation.together else comparison.alone()
            difference = max(map(root_mean_square, before, after))
        figures = {**found.figures, "other_attention": difference}
        if not found.together or difference > _noise(found).company(probe.precision):
            row_attention.install(probe.model, own)
            return replace(isolation, figures={**isolation.figures, "other_attention": difference})
        found = replace(
            found, boundaries=RowBoundaries.CU_SEQLENS, figures=figures, attention=row_attention.IMPLEMENTATION,
            kernels=tuple(row_attention.kernels_of(probe.model)),
        )  # fmt: skip
        return _with_shared_prefixes(found, probe, comparison, _noise(found))


def _noise(isolation: Isolation) -> Noise:
    return Noise(**{name: isolation.figures[name] for name in ("effect", "same", "other")})


def _with_shared_prefixes(isolation: Isolation, probe: RowProbe, comparison: Comparison, noise: Noise) -> Isolation:
    """Return the isolation with whether rows with a common beginning have the same losses if it is computed once. Collective."""
    rows = comparison.alike()
    group = RowGroup(tuple(range(len(rows))), 1.0)
    apart, shared = (micro_of([[row] for row in rows], group, RowBoundaries.CU_SEQLENS, share=share) for share in (False, True))
    try:
        difference = root_mean_square(probe.losses(apart), probe.losses(shared))
    except ProbeFailed as error:
        return replace(isolation, separate_prefixes=f"a pass with a shared prefix failed: {error}")
    figures = {**isolation.figures, "shared_prefix": difference}
    changed = difference > noise.company(probe.precision)
    return replace(isolation, figures=figures, separate_prefixes="the losses change in this architecture" if changed else "")


def max_sequences(rows: Samples | Stream) -> int:
    """Return the maximum number of sequences of a sample; for a stream, of the first rows."""
    return int((rows if isinstance(rows, Samples) else rows.head()).counts.max())


def check_isolation(isolation: Isolation, options: TrainOptions, strategy: Strategy, sequences: int = 1) -> None:
    """Check that packing, padding and pairs of sequences do not change the loss.

    Args:
        isolation: of the run's model.
        options: of the task.
        strategy: built.
        sequences: maximum number of sequences of a sample.

    Raises:
        UsageError: sequences of a pass would affect each other, or tokens would attend to padding.
    """
    if sequences > 1 and not isolation.together:
        message = f"this task computes several sequences of a row in one pass, but {isolation.reason}"
        raise UsageError(message, code="TRAIN-101", where="task", hint="Use another model, or --attention sdpa.")
    if options.packing and not isolation.together:
        hint = "Omit --packing: each row is then computed by itself."
        raise UsageError(f"rows can't be packed: {isolation.reason}", code="TRAIN-061", where="packing", hint=hint)
    if strategy.fixed_shapes and not isolation.causal:
        message = "this strategy pads rows to one length, and tokens attend to later tokens of their row"
        raise UsageError(message, code="TRAIN-062", where="parallel", hint="Use --parallel ddp or fsdp.")


def probe_isolation(strategy: Passes, task: ForwardLoss, tokens: Sequence[int], longest: int) -> Isolation:
    """Find a way to pass row boundaries to the model with which rows that share a pass have the losses that they have alone. Collective.

    Gradients, random states and the model's buffers are left unchanged.

    Args:
        strategy, task: they compute the losses; the strategy is built.
        tokens: token ids that occur in the rows.
        longest: tokens of the longest row.
    """
    known = sorted(set(tokens))
    if len(known) < _DISTINCT:
        return one_by_one(f"{UNKNOWN}: the rows have only {len(known)} different tokens")
    with RowProbe(strategy, task, (known[0], known[-1])) as probe:
        try:
            return Comparison(probe, known, longest).decide()
        except ProbeFailed as error:
            return one_by_one(f"{UNKNOWN}: {error}")
