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

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from swift_core.contract import UsageError
from swift_train import row_attention
from swift_train.batches import RowBoundaries
from swift_train.media.isolation import media_problem
from swift_train.row_probe import ProbeFailed, RowProbe, median, root_mean_square
from swift_train.samples import Samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swift_train.media.collate import MediaCollator
    from swift_train.options import TrainOptions
    from swift_train.strategy import Passes, Strategy
    from swift_train.stream import Stream
    from swift_train.tasks import ForwardLoss
    from swift_train.watchdog import WatchedTask

ONE_ROW = "the options put one row in each forward pass"

_ROW, _CHANGED, _TAIL, _BEFORE, _BEHIND = 8, 2, 5, 12, 6  # tokens
_LAST = 64  # tokens of the longest row that are scored
_SAMPLED_ROWS = 64  # rows whose tokens are used for the probe
_DISTINCT = 8  # minimum number of different token ids
_TIMES = 4.0  # a difference counts if it is this many times the noise
_SAME, _OTHER = 1.2e-7, 1e-6  # minimum noise relative to the float32 loss, for equal and for different shapes
_NARROW = 1e-5  # the machine epsilon of bfloat16 and float16 is larger
_COARSE = 6.0  # in those dtypes, differences below effect / 6 are tolerated between different kernels
_VISIBLE = 10.0  # minimum effect of the row's own first tokens, as a multiple of the tolerance
_AFFECTED = "in this architecture rows that share a forward pass affect each other"
_UNKNOWN = "row isolation could not be determined"


@dataclass(frozen=True, slots=True)
class Isolation:
    """The way in which rows may share a forward pass of a run's model, if at all.

    Attributes:
        boundaries: how row starts are passed to the model.
        reason: why rows are computed one by one; empty if they may share a pass.
        causal: whether tokens attend only to earlier tokens.
        attention: the attention implementation that was installed for the run; empty for the model's own.
        figures: loss differences in nats: the effect of the row's own first tokens, the noise, and the influence of other rows.
    """

    boundaries: RowBoundaries
    reason: str = ""
    causal: bool = True
    figures: dict[str, float] = field(default_factory=dict)
    attention: str = ""

    @property
    def together(self) -> bool:
        """True if several rows may share a forward pass."""
        return not self.reason

    def to_json(self) -> dict[str, Any]:
        """Return the result for the run record (`parallel.json`)."""
        return {**asdict(self), "boundaries": self.boundaries.value, "together": self.together}


def one_by_one(reason: str, figures: Mapping[str, float] = MappingProxyType({}), *, causal: bool = True) -> Isolation:
    """Return the result that rows are computed one by one, with the reason."""
    return Isolation(RowBoundaries.POSITION_IDS, reason, causal, dict(figures))


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
    return with_row_attention(strategy, task, sorted(tokens), longest, found)


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

    Args:
        strategy, task: they compute the losses; the strategy is built.
        tokens: token ids that occur in the rows.
        longest: tokens of the longest row; a window or a chunk of attention is seen only by rows that exceed it.
        isolation: of the model with its own attention.
    """
    if not isolation.together or not isolation.causal or isolation.boundaries is RowBoundaries.MROPE:
        return isolation
    with RowProbe(strategy, task, (tokens[0], tokens[-1])) as probe:
        comparison = _Comparison(probe, tokens, longest)
        before = comparison.of_attention(isolation.boundaries)
        if not strategy.reduce(float(probe.model is not None and row_attention.applies_to(probe.model)), "max"):
            return isolation
        assert probe.model is not None
        own = probe.model.config._attn_implementation
        row_attention.install(probe.model)
        try:
            difference = max(map(root_mean_square, before, comparison.of_attention(RowBoundaries.CU_SEQLENS)))
        except ProbeFailed:
            difference = float("inf")
        figures = {**isolation.figures, "other_attention": difference}
        noise = _Noise(**{name: isolation.figures[name] for name in ("effect", "same", "other")})
        if difference > noise.company(probe.precision):
            row_attention.install(probe.model, own)
            return replace(isolation, figures=figures)
        return replace(isolation, boundaries=RowBoundaries.CU_SEQLENS, figures=figures, attention=row_attention.IMPLEMENTATION)


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
        return one_by_one(f"{_UNKNOWN}: the rows have only {len(known)} different tokens")
    with RowProbe(strategy, task, (known[0], known[-1])) as probe:
        try:
            return _Comparison(probe, known, longest).decide()
        except ProbeFailed as error:
            return one_by_one(f"{_UNKNOWN}: {error}")


@dataclass(frozen=True, slots=True)
class _Noise:
    """Effect of the row's own first tokens, and tolerances for passes of equal and of different shapes; in nats."""

    effect: float
    same: float
    other: float

    def company(self, precision: float) -> float:
        """Return the tolerance between a row alone and first in a pass, where attention has a mask and may use other kernels."""
        return self.other if precision < _NARROW else max(self.other, self.effect / _COARSE)


class _Comparison:
    def __init__(self, probe: RowProbe, tokens: Sequence[int], longest: int) -> None:
        self._probe, self._tokens, self._longest = probe, tokens, longest
        self._row = self._ids(_ROW, 1)

    def decide(self) -> Isolation:
        """Return the first kind of row boundaries that isolates rows; otherwise the reason why rows are computed one by one."""
        run, row = self._probe.run, self._row
        self._own = run([row])
        first, second = (run([row + self._ids(_TAIL, seed)], _ROW) for seed in (3, 4))
        changed = run([self._ids(_CHANGED, 5) + row[_CHANGED:]])
        loss, behind = float(abs(self._own).mean()), median(first, second)
        noise = _Noise(
            effect=root_mean_square(self._own[_CHANGED:], changed[_CHANGED:]),
            same=_TIMES * max(_SAME * loss, root_mean_square(first, second)),
            other=max(_TIMES * max(_OTHER * loss, median(self._own, first)), self._probe.precision),
        )
        causal = behind <= max(_TIMES * _OTHER * loss, self._probe.precision)
        if not causal:  # what follows the scored tokens of a row tells nothing of the noise
            noise = replace(noise, same=_TIMES * _SAME * loss, other=max(_TIMES * _OTHER * loss, self._probe.precision))
        refused: list[Isolation] = []
        for boundaries in RowBoundaries if self._probe.others else (RowBoundaries.POSITION_IDS,):
            try:
                found = self._compare(boundaries, noise)
            except ProbeFailed as error:
                found = one_by_one(f"{_UNKNOWN}: {error}")
            if found.together:
                return replace(found, causal=causal)
            refused.append(found)
        reason = refused[0].reason if causal else f"tokens attend to later tokens of their row, and {refused[0].reason}"
        return replace(refused[0], causal=causal, reason=reason)

    def of_attention(self, boundaries: RowBoundaries) -> tuple[NDArray[Any], ...]:
        """Return the losses of a row between two others, and of the last tokens of a row of the maximum length."""
        return self._among(boundaries, 1), self._probe.run([self._ids(self._longest, 7)], last=_LAST)

    def _compare(self, boundaries: RowBoundaries, noise: _Noise) -> Isolation:
        far = self._among(boundaries, 2, far=self._longest)
        near = self._among(boundaries, 1)  # second: rotary embeddings that grow with the longest position shrink again here
        ahead = self._probe.run([self._row, self._ids(_BEFORE + _BEHIND, 6)], boundaries=boundaries)
        found = {"other_rows": root_mean_square(near, far), "other_place": median(near, ahead), "in_company": median(ahead, self._own)}
        figures = {**asdict(noise), **found}
        if found["other_rows"] > noise.same:
            return one_by_one(f"{_AFFECTED}: the predictions for one depend on the others", figures)
        if found["other_place"] > noise.other or found["in_company"] > noise.company(self._probe.precision):
            return one_by_one(f"{_AFFECTED}: the predictions for one depend on its position among them", figures)
        if noise.effect < _VISIBLE * max(noise.same, noise.other):
            return one_by_one(f"{_UNKNOWN}: rounding hides the effect of a row's own tokens", figures)
        return Isolation(boundaries, figures=figures)

    def _among(self, boundaries: RowBoundaries, seed: int, *, far: int = 0) -> NDArray[Any]:
        """Return the losses of the row between two others; the first ends at position `far`, if that exceeds its length."""
        before, behind = self._ids(_BEFORE, 10 * seed), self._ids(_BEHIND, 10 * seed + 1)
        return self._probe.run([before, self._row, behind], boundaries=boundaries, scored=1, far=far)

    def _ids(self, count: int, seed: int) -> list[int]:
        """Return `count` token ids in a fixed pseudo-random order."""
        return [self._tokens[(seed * 7919 + at * at * 31 + at * 17 + seed * at * 13) % len(self._tokens)] for at in range(count)]
