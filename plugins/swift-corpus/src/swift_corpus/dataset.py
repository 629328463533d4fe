"""The data set `tokens`: shards of tokenised rows, in a folder or an object store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from swift_core.contract import Progress, RawRow, SwiftError, UsageError
from swift_core.system import atomic_folder, cache_dir, digest, network, write_text
from swift_corpus.index import INDEX, Index, Shard
from swift_corpus.storage import Storage, is_url

if TYPE_CHECKING:
    from swift_train.store import Store

    from swift_corpus.options import TokensOptions

_AGAIN = "Tokenise the rows again: swift data tokenize."


class TokensDataset:
    """Shards of tokenised rows (`swift_train.tokenised_dataset.TokenisedDataset`). Those of an object store are kept in the cache."""

    def __init__(self, options: TokensOptions) -> None:
        self._path, self._streaming = options.path, options.streaming
        self._remote = is_url(options.path)

    def fetch(self, progress: Progress | None = None) -> tuple[Path, ...]:
        """Return the index; from an object store it and, unless they are streamed, the shards are downloaded.

        Raises:
            UsageError: there are no tokenised rows.
            SwiftError: a shard is damaged, or the store can't be read.
        """
        if self._remote and network.offline() and self._index.is_file():
            return (self._index,)
        storage = Storage(self._path)
        index = Index.read(storage)
        if self._remote:
            write_text(self._index, storage.read(INDEX).decode())
            for number, shard in enumerate([] if self._streaming else index.shards):
                if progress:
                    progress(f"shards of {self._path}", number, len(index.shards))
                _kept(storage, shard)
        return (self._index,)

    def rows(self) -> Iterator[RawRow]:
        """Refuse: the rows are tokens.

        Raises:
            UsageError: always.
        """
        hint = "Use it to train: --dataset of the task and model it was tokenised for. For other commands name the rows themselves."
        raise UsageError("these are tokenised rows, which only a training reads", code="DATA-179", where=self._path, hint=hint)

    def stores(self, facts: Mapping[str, Any]) -> Sequence[Store]:
        """Return the shards, in order; see `TokenisedDataset.stores`."""
        return [read() for read in self._readers(facts, _kept)]

    def shards(self, facts: Mapping[str, Any]) -> Sequence[Callable[[], Store]]:
        """Return what reads each shard; one of an object store is downloaded for as long as it is used."""
        return self._readers(facts, _temporary)

    def _readers(
        self, facts: Mapping[str, Any], download: Callable[[Storage, Shard], Store]
    ) -> list[Callable[[], Store]]:  # fmt: skip
        index = Index.parse(self._index.read_bytes(), self._path)
        _check_facts(facts, index.facts, self._path)
        if self._remote:
            storage = Storage(self._path) if not network.offline() else None
            return [partial(download, storage, shard) if storage else partial(_open, _place(shard), shard) for shard in index.shards]
        return [partial(_open, self._index.parent / shard.folder, shard) for shard in index.shards]

    @property
    def _index(self) -> Path:
        """Return the path of the index on this machine."""
        if self._remote:
            return cache_dir("tokenised", "indices", f"{digest(self._path)[:32]}.json")
        return Path(self._path.removeprefix("file:")).expanduser() / INDEX


def _place(shard: Shard) -> Path:
    """Return the folder of a downloaded shard in the cache."""
    return cache_dir("tokenised", "shards", shard.digest[:32])


def _kept(storage: Storage, shard: Shard) -> Store:
    """Return a shard from the cache, into which it is downloaded the first time."""
    place = _place(shard)
    if not place.is_dir():
        with atomic_folder(place, overwrite=True) as folder:
            _download(storage, shard, folder)
    return _open(place, shard)


def _temporary(storage: Storage, shard: Shard) -> Store:
    """Return a shard that is downloaded into a folder of this process; its files are unlinked once they are mapped."""
    with TemporaryDirectory(prefix="swift-shard-") as folder:
        _download(storage, shard, Path(folder))
        return _open(Path(folder), shard)


def _download(storage: Storage, shard: Shard, folder: Path) -> None:
    from swift_train.store import digest_of

    storage.fetch(shard.folder, folder)
    if digest_of(folder) != shard.digest:
        raise SwiftError("this shard is damaged", code="DATA-180", where=f"{storage.place}/{shard.folder}", hint=_AGAIN)


def _open(folder: Path, shard: Shard) -> Store:
    """Map a shard.

    Raises:
        SwiftError: it is not the one of the index, or not whole.
    """
    from swift_train.store import Store

    try:
        store = Store(folder)
    except (OSError, ValueError, KeyError) as error:
        raise SwiftError(f"this shard can't be read: {error}", code="DATA-181", where=str(folder), hint=_AGAIN) from error
    if (store.meta["digest"], len(store.ids), len(store.ends)) != (shard.digest, shard.tokens, shard.sequences):
        raise SwiftError("this shard is not the one that the index lists", code="DATA-182", where=str(folder), hint=_AGAIN)
    return store


def _check_facts(ours: Mapping[str, Any], theirs: Mapping[str, Any], where: str) -> None:
    """Refuse samples that a run would have made in another way; the date that they render may be another one."""
    different = [name for name in ours if name != "date" and ours[name] != theirs.get(name)]
    if not different:
        return
    shown = [f"{name} {theirs.get(name)}, here {ours[name]}" if name in ("truncation", "max_length") else name for name in different]
    hint = "Give this run the model, task and --max-length of swift data tokenize, or tokenise the rows again with this run's."
    raise UsageError(f"the rows were tokenised in another way: {'; '.join(shown)}", code="DATA-183", where=where, hint=hint)
