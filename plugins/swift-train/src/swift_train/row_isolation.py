"""Whether rows that go through the model in one pass see each other: asked of the loaded model, by the road that the run takes.

transformers tells rows apart by their positions, but many architectures build their masks without them, recurrent layers and
convolutions run on from one row into the next, and positions may be counted otherwise than they are told. None of that is an error, only
another loss. So a short row is computed several times (`swift_train.row_probe`), and what is predicted in it is compared:

- *Between rows A and C, against between other rows B and D of the same lengths.* The shapes are the same, so that a model that keeps rows
  apart gives the same numbers, in any type. With B's later positions as far along as the run's longest row ever gets: a rotary embedding
  that depends on the longest position in the pass is found, too.
- *Between A and C, against ahead of other rows, in a pass of the same length.* Positions that are counted through the whole pass move every
  token of the row, so that the median tells, which a few tokens of a mixture that go to another expert don't change.
- *Ahead of other rows, against alone.* There the kernels may be others, so that bfloat16 tells coarsely.

Noise is what rows change that are *behind* the tokens looked at, where a causal model can't see them. And a change of the row's own first
tokens must be seen clearly above it; otherwise nothing is known, and rows go alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from swift_core.contract.errors import UsageError
from swift_train.batches import RowBoundaries
from swift_train.row_probe import ProbeFailed, RowProbe, median, root_mean_square
from swift_train.samples import Samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swift_train.options import TrainOptions
    from swift_train.strategy import Strategy
    from swift_train.stream import Stream
    from swift_train.tasks import LossTask

ONE_ROW = "each pass has one row, as the options say"

_ROW, _CHANGED, _TAIL, _BEFORE, _BEHIND = 8, 2, 5, 12, 6  # tokens
_LOOKED_AT = 64  # rows whose tokens are taken
_DISTINCT = 8
_TIMES = 4.0  # a difference that is so many times the noise is one
_SAME, _OTHER = 1.2e-7, 1e-6  # of a loss, which is float32: the least that noise is taken for, in the same shapes and in others
_NARROW = 1e-5  # bfloat16 and float16 have larger steps
_COARSE = 6.0
_VISIBLE = 10.0  # times what may differ: what the row's own beginning must change at least, for the comparison to mean something
_SEEN = "in this architecture rows that go through the model together are not what they are alone"


@dataclass(frozen=True, slots=True)
class Isolation:
    """How the rows of a run go through its model.

    `boundaries` says how row starts are passed to the model; `reason` why they go alone, empty if they go together; `causal` whether
    tokens see only those before them. The figures are differences of losses, in nats: what the row's own beginning changes, noise, leaks.
    """

    boundaries: RowBoundaries
    reason: str = ""
    causal: bool = True
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def together(self) -> bool:
        """Whether several rows may go through the model at once."""
        return not self.reason

    def to_json(self) -> dict[str, Any]:
        """For the run's record."""
        return {**asdict(self), "boundaries": self.boundaries.value, "together": self.together}


def one_by_one(reason: str, figures: Mapping[str, float] = MappingProxyType({}), *, causal: bool = True) -> Isolation:
    """Each row by itself."""
    return Isolation(RowBoundaries.POSITION_IDS, reason, causal, dict(figures))


def isolation_of(strategy: Strategy, task: LossTask, rows: Samples | Stream, heldout: Samples | None, longest: int) -> Isolation:
    """How a run's rows go through its model. Collective; all processes find the same.

    The model is not asked where no row ever has company, nor is filled up to a fixed shape.

    Args:
        strategy, task: what computes, built.
        rows, heldout: the run's.
        longest: tokens that a row of a stream may have.
    """
    options = task.options
    if not (options.packing or options.batch_size > 1 or (options.eval_batch_size or 1) > 1 or strategy.fixed_shapes):
        return one_by_one(ONE_ROW)
    first, known = (rows, [rows]) if isinstance(rows, Samples) else (rows.head(), [])
    tokens = {token for place in range(min(len(first), _LOOKED_AT)) for token in first[place].ids.tolist()}
    lengths = [int(samples.lengths.max()) for samples in (*known, heldout) if samples is not None]
    return probe_isolation(strategy, task, sorted(tokens), max(lengths) if known else longest)


def check(isolation: Isolation, options: TrainOptions, strategy: Strategy) -> None:
    """Refuse what would compute something else.

    Raises:
        UsageError: rows are to be packed that would see each other, or are filled up with tokens that they would see.
    """
    if options.packing and not isolation.together:
        hint = "Leave --packing out: each row is then computed by itself."
        raise UsageError(f"rows can't be packed: {isolation.reason}", where="packing", hint=hint)
    if strategy.fixed_shapes and not isolation.causal:
        message = f"rows are filled up to one length here, and {isolation.reason}"
        raise UsageError(message, where="parallel", hint="Use --parallel ddp or fsdp.")


def probe_isolation(strategy: Strategy, task: LossTask, tokens: Sequence[int], longest: int) -> Isolation:
    """Find the way in which rows that go through a model together are what they are alone.

    Neither gradients, random numbers nor the model's statistics are changed.

    Args:
        strategy, task: what computes, built.
        tokens: ids that occur in the rows.
        longest: tokens of the longest row.
    """
    known = sorted(set(tokens))
    if len(known) < _DISTINCT:
        return one_by_one(f"whether rows see each other can't be told with {len(known)} different tokens")
    with RowProbe(strategy, task, (known[0], known[-1])) as probe:
        try:
            return _Comparison(probe, known, longest).decide()
        except ProbeFailed as error:
            return one_by_one(f"whether rows see each other could not be told: {error}")


@dataclass(frozen=True, slots=True)
class _Noise:
    """What the row's own beginning changes, and what may differ in the same shapes and in others."""

    effect: float
    same: float
    other: float

    def company(self, precision: float) -> float:
        """What may differ between alone and at the head of a pass: there attention has a mask, and so may be computed by other kernels."""
        return self.other if precision < _NARROW else max(self.other, self.effect / _COARSE)


class _Comparison:
    def __init__(self, probe: RowProbe, tokens: Sequence[int], longest: int) -> None:
        self._probe, self._tokens, self._longest = probe, tokens, longest
        self._row = self._ids(_ROW, 1)

    def decide(self) -> Isolation:
        """The first way that works, else alone."""
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
        if behind > max(_TIMES * _OTHER * loss, self._probe.precision):
            return one_by_one(
                "in this architecture the tokens of a row see those behind them", {"behind": behind, **asdict(noise)}, causal=False
            )
        refused: list[Isolation] = []
        for boundaries in RowBoundaries if self._probe.others else (RowBoundaries.POSITION_IDS,):
            try:
                found = self._compare(boundaries, noise)
            except ProbeFailed as error:
                found = one_by_one(f"whether rows see each other could not be told: {error}")
            if found.together:
                return found
            refused.append(found)
        return refused[0]

    def _compare(self, boundaries: RowBoundaries, noise: _Noise) -> Isolation:
        far = self._among(boundaries, 2, far=self._longest)
        near = self._among(boundaries, 1)  # after that, since rotary embeddings that grow with the longest position go back with it
        ahead = self._probe.run([self._row, self._ids(_BEFORE + _BEHIND, 6)], boundaries=boundaries)
        found = {"other_rows": root_mean_square(near, far), "other_place": median(near, ahead), "in_company": median(ahead, self._own)}
        figures = {**asdict(noise), **found}
        if found["other_rows"] > noise.same:
            return one_by_one(f"{_SEEN}: what is predicted in one depends on the others", figures)
        if found["other_place"] > noise.other or found["in_company"] > noise.company(self._probe.precision):
            return one_by_one(f"{_SEEN}: what is predicted in one depends on its place among them", figures)
        if noise.effect < _VISIBLE * max(noise.same, noise.other):
            return one_by_one("whether rows see each other could not be told: rounding hides it", figures)
        return Isolation(boundaries, figures=figures)

    def _among(self, boundaries: RowBoundaries, seed: int, *, far: int = 0) -> NDArray[Any]:
        """The row between two others, the first of which ends at the position `far`, if that is more than its length."""
        before, behind = self._ids(_BEFORE, 10 * seed), self._ids(_BEHIND, 10 * seed + 1)
        return self._probe.run([before, self._row, behind], boundaries=boundaries, scored=1, far=far)

    def _ids(self, count: int, seed: int) -> list[int]:
        """Tokens in an order that looks random and is always the same."""
        return [self._tokens[(seed * 7919 + at * at * 31 + at * 17 + seed * at * 13) % len(self._tokens)] for at in range(count)]
