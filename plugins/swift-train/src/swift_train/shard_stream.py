"""Streaming of data sets that were tokenised before: shard by shard, in an order that is drawn anew each time all were read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, count
from typing import TYPE_CHECKING

import numpy as np

from swift_core.contract import UsageError
from swift_train.samples import Samples
from swift_train.stream import Stream
from swift_train.tokenised_dataset import TokenisedDataset

if TYPE_CHECKING:
    from swift_core.contract import DataChoice
    from swift_core.runs import Report
    from swift_train.preprocessing import Preprocessing
    from swift_train.store import Store

_HEAD = 64  # samples


class ShardStream(Stream):
    """The shards of tokenised data sets as parts of a stream; a shard is read while the run trains on the previous one.

    The order of the shards depends on the seed and the epoch alone, so a resumed run skips those that it has trained on.
    """

    def __init__(
        self, choices: Sequence[DataChoice], sources: Sequence[TokenisedDataset], preprocessing: Preprocessing, report: Report,
        *, seed: int, shuffle: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(choices, preprocessing, report, seed=seed)
        self._shards: list[Callable[[], Store]] = [shard for source in sources for shard in source.shards(preprocessing.facts)]
        self._order_seed, self._shuffle = seed, shuffle

    def head(self) -> Samples:
        """Return the first samples of the first shard."""
        samples = Samples([self._shards[0]()])
        return samples.select(np.arange(min(_HEAD, len(samples))))

    def buffers(self, skip: int = 0) -> Iterator[Samples]:
        """Yield the shards from number `skip` on, endlessly."""
        epoch, within = divmod(skip, len(self._shards))
        places = chain.from_iterable(self._order(number) for number in count(epoch))
        for _ in range(within):
            next(places)
        with ThreadPoolExecutor(1, "shards") as worker:
            following = worker.submit(self._shards[next(places)])
            while True:
                store = following.result()
                following = worker.submit(self._shards[next(places)])
                yield Samples([store])

    def _order(self, epoch: int) -> list[int]:
        if not self._shuffle:
            return list(range(len(self._shards)))
        order: list[int] = np.random.default_rng((self._order_seed, epoch)).permutation(len(self._shards)).tolist()
        return order


def stream_of(choices: Sequence[DataChoice], preprocessing: Preprocessing, report: Report, *, seed: int, shuffle: bool = True) -> Stream:
    """Return the stream of the data sets' rows, or of their shards if they were tokenised before.

    Raises:
        UsageError: some were and others not, or tokenised ones have weights.
    """
    sources = [choice.build() for choice in choices]
    tokenised = [source for source in sources if isinstance(source, TokenisedDataset)]
    if not tokenised:
        return Stream(choices, preprocessing, report, seed=seed)
    hint = "Omit --data.streaming, or stream them in separate runs."
    if len(tokenised) < len(sources):
        raise UsageError("tokenised data sets and others can't be streamed together", code="TRAIN-281", where="data.streaming", hint=hint)
    if any(choice.weight != 1 for choice in choices):
        raise UsageError("tokenised data sets are streamed without weights", code="TRAIN-282", where="data.streaming", hint=hint)
    return ShardStream(choices, tokenised, preprocessing, report, seed=seed, shuffle=shuffle)
