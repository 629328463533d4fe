"""Compare the losses of a row alone and in company, and decide how rows may share a forward pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from swift_train.batches import RowBoundaries
from swift_train.row_probe import ProbeFailed, RowProbe, median, root_mean_square
from swift_train.samples import Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROW, _CHANGED, _TAIL, _BEFORE, _BEHIND, _COMMON = 8, 2, 5, 12, 6, 40  # tokens
_LAST = 64  # tokens of the longest row that are scored
_TIMES = 4.0  # a difference counts if it is this many times the noise
_SAME, _OTHER = 1.2e-7, 1e-6  # minimum noise relative to the float32 loss, for equal and for different shapes
_NARROW = 1e-5  # the machine epsilon of bfloat16 and float16 is larger
_COARSE = 6.0  # in those dtypes, differences below effect / 6 are tolerated between different kernels
_VISIBLE = 10.0  # minimum effect of the row's own first tokens, as a multiple of the tolerance
_AFFECTED = "in this architecture rows that share a forward pass affect each other"
UNKNOWN = "row isolation could not be determined"


@dataclass(frozen=True, slots=True)
class Isolation:
    """The way in which rows may share a forward pass of a run's model, if at all.

    Attributes:
        boundaries: how row starts are passed to the model.
        reason: why rows are computed one by one; empty if they may share a pass.
        causal: whether tokens attend only to earlier tokens.
        attention: the attention implementation that was installed for the run; empty for the model's own.
        kernels: what computed that attention when it was compared; empty for the model's own.
        separate_prefixes: why tokens with which several rows begin are computed for each of them; empty if they are computed once.
        figures: loss differences in nats: the effect of the row's own first tokens, the noise, and the influence of other rows.
    """

    boundaries: RowBoundaries
    reason: str = ""
    causal: bool = True
    figures: dict[str, float] = field(default_factory=dict)
    attention: str = ""
    kernels: tuple[str, ...] = ()
    separate_prefixes: str = "rows are told apart by the model's own attention"

    @property
    def together(self) -> bool:
        """True if several rows may share a forward pass."""
        return not self.reason

    @property
    def shares_prefixes(self) -> bool:
        """True if tokens with which several rows begin are computed once (`swift_train.shared_prefixes`)."""
        return not self.separate_prefixes

    def to_json(self) -> dict[str, Any]:
        """Return the result for the run record (`parallel.json`)."""
        return {**asdict(self), "boundaries": self.boundaries.value, "together": self.together}


def one_by_one(reason: str, figures: Mapping[str, float] = MappingProxyType({}), *, causal: bool = True) -> Isolation:
    """Return the result that rows are computed one by one, with the reason."""
    return Isolation(RowBoundaries.POSITION_IDS, reason, causal, dict(figures))


@dataclass(frozen=True, slots=True)
class Noise:
    """Effect of the row's own first tokens, and tolerances; in nats.

    Attributes:
        effect: change of the losses by the row's own first tokens.
        same: tolerance between passes of equal shapes.
        other: tolerance between passes of different shapes.
    """

    effect: float
    same: float
    other: float

    def company(self, precision: float) -> float:
        """Return the tolerance between a row alone and first in a pass, where attention has a mask and may use other kernels."""
        return self.other if precision < _NARROW else max(self.other, self.effect / _COARSE)


class Comparison:
    """Losses of rows in different company.

    Args:
        probe: computes them.
        tokens: token ids of the rows.
        longest: tokens of the longest row of the run.
    """

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
        noise = Noise(
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
                found = one_by_one(f"{UNKNOWN}: {error}")
            if found.together:
                return replace(found, causal=causal)
            refused.append(found)
        reason = refused[0].reason if causal else f"tokens attend to later tokens of their row, and {refused[0].reason}"
        return replace(refused[0], causal=causal, reason=reason)

    def of_attention(self, boundaries: RowBoundaries) -> tuple[NDArray[Any], ...]:
        """Return the losses of a row between two others, and of the last tokens of a row of the maximum length."""
        return self._among(boundaries, 1), self._probe.run([self._ids(self._longest, 7)], last=_LAST)

    def alone(self) -> tuple[NDArray[Any], ...]:
        """Return the losses of a row, and of the last tokens of a row of the maximum length, each in a pass of its own."""
        return self._probe.run([self._row]), self._probe.run([self._ids(self._longest, 7)], last=_LAST)

    def alike(self) -> list[Sample]:
        """Return three rows that begin alike, two of them for longer, with their own last tokens supervised."""
        common, more = self._ids(_COMMON, 11), self._ids(_COMMON, 12)
        rows = [common + more + self._ids(_ROW, 13), common + more + self._ids(_ROW, 14), common + self._ids(_ROW, 15)]
        weights = [np.repeat(np.array([0, 1], np.float32), [len(row) - _ROW + 1, _ROW - 1]) for row in rows]
        return [Sample(np.array(row, np.int32), weight, "") for row, weight in zip(rows, weights, strict=True)]

    def _compare(self, boundaries: RowBoundaries, noise: Noise) -> Isolation:
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
            return one_by_one(f"{UNKNOWN}: rounding hides the effect of a row's own tokens", figures)
        return Isolation(boundaries, figures=figures)

    def _among(self, boundaries: RowBoundaries, seed: int, *, far: int = 0) -> NDArray[Any]:
        """Return the losses of the row between two others; the first ends at position `far`, if that exceeds its length."""
        before, behind = self._ids(_BEFORE, 10 * seed), self._ids(_BEHIND, 10 * seed + 1)
        return self._probe.run([before, self._row, behind], boundaries=boundaries, scored=1, far=far)

    def _ids(self, count: int, seed: int) -> list[int]:
        """Return `count` token ids in a fixed pseudo-random order."""
        return [self._tokens[(seed * 7919 + at * at * 31 + at * 17 + seed * at * 13) % len(self._tokens)] for at in range(count)]
