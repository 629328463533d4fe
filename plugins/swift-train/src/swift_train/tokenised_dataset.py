"""Data sets of samples that were tokenised before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from swift_train.store import Store


@runtime_checkable
class TokenisedDataset(Protocol):
    """A data set (`swift_core.contract.Dataset`) of samples in shards, tokenised before."""

    def stores(self, facts: Mapping[str, Any]) -> Sequence[Store]:
        """Return the shards, in order.

        Args:
            facts: `Preprocessing.facts` of the run.

        Raises:
            UsageError: the samples were made in another way, or are damaged.
        """
        ...

    def shards(self, facts: Mapping[str, Any]) -> Sequence[Callable[[], Store]]:
        """Return what reads each shard, for a data set that is streamed. Raises the same errors."""
        ...
