"""Tokenise data sets into samples; each data set has its own store, which is cached and reused as long as its inputs are unchanged.

A store's name is a hash of everything that determines its content: the rows, the data options, the tokenizer with its chat template, the
task's mask, the maximum length and the truncation. Rows are processed in batches, so memory use does not grow with their number.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from swift_data.reading import SKIPPED_FILE, Skips, raw_rows
from swift_data.unread import Unread

from swift_core.contract import DiskFull, NotWritable, SwiftError, UsageError
from swift_core.system import paths
from swift_train.samples import Samples
from swift_train.store import META, Store, StoreWriter
from swift_train.tasks import CountingEncoder
from swift_train.tokenise import Encoded, SupervisedText
from swift_train.tokenised_dataset import TokenisedDataset
from swift_train.truncation import samples_of_row, too_long

if TYPE_CHECKING:
    from swift_core.contract import DataChoice, RawRow
    from swift_core.runs import Report
    from swift_train.preprocessing import Preprocessing
    from swift_train.tasks import Encoder

_BATCH = 64  # rows; larger batches live long enough to trigger full garbage collections
_FIRST, _EVERY = 16, 1000  # the mask check covers the first rows, then every n-th


def load_samples(
    choices: Sequence[DataChoice], preprocessing: Preprocessing, report: Report, *, seed: int = 0, what: str = "tokenise"
) -> Samples:
    """Tokenise data sets, or load their cached stores, and check the masks of some rows.

    Args:
        seed: of the sampling by the data sets' weights.
        what: name of the progress bar.

    Raises:
        UsageError: a row has the wrong kind, is too long, or has no supervised token (unless such rows are skipped); no rows are left.
        MaskError: a mask is wrong.
    """
    stores: list[Store] = []
    sets: list[int] = []
    for number, choice in enumerate(choices):
        source = choice.build()
        if isinstance(source, TokenisedDataset):
            found = source.stores(preprocessing.facts)
            stores += found
            sets += [number] * len(found)
            continue
        key = preprocessing.key(choice)
        store = _cached_store(choice, key, preprocessing, report, what) if key else _temporary_store(choice, preprocessing, report, what)
        if store.meta["skipped"]:
            report.note(f"{store.meta['skipped']} rows of {choice.asked} were skipped; they are listed in {report.folder / SKIPPED_FILE}.")
        if store.meta["dropped"]:
            why = "truncation: drop" if preprocessing.truncation == "drop" else "their images can't be cut"
            report.note(f"{store.meta['dropped']} rows longer than {preprocessing.max_length} tokens were dropped ({why}).")
        for text in unread_of(store).sentences(choice.asked):
            report.note(text)
        stores.append(store)
        sets.append(number)
    samples = Samples(stores, sets=sets).repeat([choice.weight for choice in choices], seed)
    report.progress(what, len(samples), len(samples), unit="rows")
    return samples


def encode_rows(
    rows: Iterable[RawRow], encoder: Encoder, skips: Skips, max_tokens: int | None = None
) -> Iterator[tuple[RawRow, list[Encoded]]]:
    """Yield each valid row with its token sequences, in order. Tokenising runs in a thread while the next rows are read.

    Args:
        skips: receives the rows with errors.
        max_tokens: a text that must have more tokens than this is an error without being tokenised; None for no limit.
    """
    with ThreadPoolExecutor(1, "tokenise") as worker:
        ahead: Future[list[Any]] | None = None
        batch: list[tuple[RawRow, list[SupervisedText]]] = []
        source = iter(rows)
        while raws := list(islice(source, _BATCH)):
            following = list(_scripts(raws, encoder, skips, max_tokens))
            results, previous, batch = ahead.result() if ahead else [], batch, following
            ahead = worker.submit(encoder.tokeniser, [script for _, scripts in batch for script in scripts])
            yield from _matched(previous, results, skips)
        if ahead:
            yield from _matched(batch, ahead.result(), skips)


def _scripts(
    raws: Iterable[RawRow], encoder: Encoder, skips: Skips, max_tokens: int | None
) -> Iterator[tuple[RawRow, list[SupervisedText]]]:
    for raw in raws:
        try:
            scripts = encoder.texts(raw)
            for script in scripts:
                if max_tokens and (count := encoder.tokeniser.min_tokens(script.text)) > max_tokens:
                    raise too_long(f"at least {count}", max_tokens)
        except SwiftError as error:
            skips.bad(error, raw)
        else:
            yield raw, scripts


def _matched(
    batch: Iterable[tuple[RawRow, list[SupervisedText]]], results: list[Any], skips: Skips
) -> Iterator[tuple[RawRow, list[Encoded]]]:
    rest = iter(results)
    for raw, scripts in batch:
        own = list(islice(rest, len(scripts)))
        errors = [result for result in own if isinstance(result, SwiftError)]
        if errors:
            skips.bad(errors[0], raw)
        else:
            yield raw, [encoded for sequences in own for encoded in sequences]


def take_unread(encoder: Encoder) -> Unread:
    """Return the unread fields that an encoder has counted since the last call, and reset the count."""
    return encoder.unread.take() if isinstance(encoder, CountingEncoder) else Unread()


def unread_of(store: Store) -> Unread:
    """Return the fields of a store's rows that the template does not read, and the control tokens in their texts."""
    return Unread(store.meta["unread"], store.meta["rows"], store.meta["control"])


def _temporary_store(choice: DataChoice, preprocessing: Preprocessing, report: Report, what: str) -> Store:
    """Write an anonymous store for this process: its files are unlinked once they are mapped, so a crash leaves nothing behind."""
    with tempfile.TemporaryDirectory(prefix="swift-tokenised-") as folder:
        _write(Path(folder), choice, preprocessing, report, what)
        return Store(Path(folder))


def _cached_store(choice: DataChoice, key: str, preprocessing: Preprocessing, report: Report, what: str) -> Store:
    """Return the store with that key from the cache; the first process to need it writes it, under a file lock."""
    cache = paths.cache_dir("tokenised")
    folder = cache / key
    if not (folder / META).is_file():
        try:
            paths.make_folder(cache)
            with FileLock(cache / f".{key}.lock"):
                if not (folder / META).is_file():
                    with paths.atomic_folder(folder, overwrite=True) as partial:
                        _write(partial, choice, preprocessing, report, what)
                    return Store(folder)
        except (OSError, NotImplementedError, DiskFull, NotWritable) as error:  # NotImplementedError: no file locks on this disk
            reason = paths.disk_error(error, cache)
            why = reason.message if isinstance(reason, SwiftError) else str(error)
            report.note(f"WARNING: tokenised rows can't be cached in {cache} ({why}); they are tokenised for this run only.")
            return _temporary_store(choice, preprocessing, report, what)
    store = Store(folder)
    _verify(store, choice, preprocessing)
    if report.speaks and (skipped := folder / SKIPPED_FILE).is_file():
        with (report.folder / SKIPPED_FILE).open("ab") as out:
            out.write(skipped.read_bytes())
    report.note(f"{choice.asked}: {len(store)} tokenised samples loaded from the cache.")
    return store


def _write(folder: Path, choice: DataChoice, preprocessing: Preprocessing, report: Report, what: str) -> None:
    files = [report.folder / SKIPPED_FILE] if report.speaks else []
    skips = Skips(preprocessing.options, [*files, folder / SKIPPED_FILE])
    total = 0

    def counted() -> Iterator[RawRow]:
        nonlocal total
        for row in raw_rows(choice, preprocessing.options):
            total += 1
            if total % 500 == 0:
                report.progress(what, total, choice.limit, unit="rows")
            yield row

    write_samples(folder, counted(), preprocessing, skips)
    skips.finish(total)


def write_samples(folder: Path, rows: Iterable[RawRow], preprocessing: Preprocessing, skips: Skips) -> None:
    """Write the samples of rows as a store into an empty folder.

    Raises:
        UsageError: a row is invalid and not skipped, or no samples are left.
        MaskError: the mask of a checked row is wrong.
    """
    if not write_store(folder, rows, preprocessing, skips):
        skips.finish(skips.count)
        raise UsageError(
            "no training rows",
            code="TRAIN-020",
            where="dataset",
            hint="Check whether the data set is empty, or every row is longer than max_length.",
        )


def write_store(folder: Path, rows: Iterable[RawRow], preprocessing: Preprocessing, skips: Skips) -> int:
    """Write the samples of rows, of which there may be none, as a store into an empty folder, and return the number of its sequences.

    Raises:
        UsageError: a row is invalid and not skipped.
        MaskError: the mask of a checked row is wrong.
    """
    valid = dropped = 0
    max_tokens = preprocessing.max_length if preprocessing.truncation == "error" else None
    take_unread(preprocessing.encoder)  # reset the count
    columns, next_token = preprocessing.columns, preprocessing.next_token
    with StoreWriter(folder, grouped=preprocessing.grouped, columns=columns, next_token=next_token) as writer:
        for raw, sequences in encode_rows(rows, preprocessing.encoder, skips, max_tokens):
            try:
                pieces = samples_of_row(sequences, preprocessing)
            except UsageError as error:
                skips.bad(error, raw)
                continue
            if valid < _FIRST or valid % _EVERY == 0:
                preprocessing.encoder.check(raw, sequences)
            valid += 1
            dropped += not pieces
            for piece in pieces:
                writer.add(piece, raw.file, raw.number)
        unread = take_unread(preprocessing.encoder)
        writer.finish(skipped=skips.count, dropped=dropped, rows=unread.rows, unread=dict(unread.counts), control=dict(unread.control))
        return writer.samples


def _verify(store: Store, choice: DataChoice, preprocessing: Preprocessing) -> None:
    """Check a cached store: encode the data set's first rows again, check their masks, and compare them with the store."""
    skips = Skips({"on_error": "skip", "max_skipped": "100%"})
    index = 0
    first = islice(raw_rows(choice, preprocessing.options), _FIRST)
    for raw, sequences in encode_rows(first, preprocessing.encoder, skips):
        try:
            pieces = samples_of_row(sequences, preprocessing)
        except UsageError:  # skipped in the store too
            continue
        preprocessing.encoder.check(raw, sequences)
        for piece in pieces:
            if index == len(store.ends) or store.ids[store.token_slice(index)].tolist() != piece.ids.tolist():
                shutil.rmtree(store.folder)
                raise SwiftError(
                    "the cached samples do not match the data set",
                    code="TRAIN-021",
                    where=str(store.folder),
                    hint="They have been removed; start the run again.",
                )
            index += 1
