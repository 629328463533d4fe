"""Data sets → tokenised samples, each set in a store of its own that is kept and used again as long as nothing of it changes.

A store's name is a hash over all that decides what is in it: the rows' content, how they are read, the tokenizer with its chat template,
the task's mask, the length and what happens beyond it. Rows pass through in batches, so that memory does not grow with their number.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from swift_core import paths
from swift_core.data.reading import SKIPPED_FILE, Skips, raw_rows
from swift_core.data.unread import Unread
from swift_core.errors import DiskFull, NotWritable, SwiftError, UsageError
from swift_train.samples import Samples
from swift_train.store import META, Store, StoreWriter
from swift_train.tokenise import Encoded, SupervisedText, Tokeniser

if TYPE_CHECKING:
    from swift_core.reporting import Report
    from swift_core.roles import RawRow
    from swift_core.run import DataChoice
    from swift_train.tasks import Encoder

_FORMAT = 3  # of the stores, and of what encoders make of rows: raise it when either changes
_BATCH = 64  # rows; many more at once live long enough that the garbage collector goes through the whole process for them
_FIRST, _EVERY = 16, 1000  # rows whose mask is checked a second way


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """How rows become samples: the task's encoder, the most tokens a sample, what happens to longer ones, and to bad rows."""

    encoder: Encoder
    truncation: str
    max_length: int
    options: Mapping[str, Any]

    def key(self, choice: DataChoice) -> str:
        """What a store of the data set is called; '' where its content is not known ahead."""
        if not choice.hash:
            return ""
        asked = asdict(choice)
        asked = {name: asked[name] for name in ("factory", "version", "options", "limit", "columns", "hash")}
        how = {"truncation": self.truncation, "max_length": self.max_length, "data": dict(self.options)}
        return paths.digest([_FORMAT, asked, how, dict(self.encoder.settings), _fingerprint(self.encoder.tokeniser)])[:32]


def load_samples(
    choices: Sequence[DataChoice], reading: Preprocessing, report: Report, *, seed: int = 0, what: str = "tokenise"
) -> Samples:
    """Tokenise data sets, or take what was tokenised before, and check the masks of some rows.

    Raises:
        UsageError: a row is not what the task takes, too long, or has nothing to learn (unless such rows are skipped); no rows are left.
        MaskError: a mask is wrong.
    """
    stores = []
    for choice in choices:
        key = reading.key(choice)
        store = _kept(choice, key, reading, report, what) if key else _made(choice, reading, report, what)
        if store.meta["skipped"]:
            report.note(f"{store.meta['skipped']} rows of {choice.asked} were skipped; {report.folder / SKIPPED_FILE} lists them.")
        if store.meta["dropped"]:
            report.note(f"{store.meta['dropped']} rows longer than {reading.max_length} tokens were left out (truncation: drop).")
        for text in unread_of(store).sentences(choice.asked):
            report.note(text)
        stores.append(store)
    samples = Samples(stores).repeat([choice.weight for choice in choices], seed)
    report.progress(what, len(samples), len(samples), unit="rows")
    return samples


def encode_rows(
    rows: Iterable[RawRow], encoder: Encoder, skips: Skips, longest: int | None = None
) -> Iterator[tuple[RawRow, list[Encoded]]]:
    """Each good row with its sequences, in order. Tokenising goes on beside the reading of the next rows.

    Args:
        longest: a text that has surely more tokens is not tokenised, but a bad row (None: no bound).
    """
    with ThreadPoolExecutor(1, "tokenise") as worker:
        ahead: Future[list[Any]] | None = None
        batch: list[tuple[RawRow, list[SupervisedText]]] = []
        source = iter(rows)
        while raws := list(islice(source, _BATCH)):
            following = list(_scripts(raws, encoder, skips, longest))
            results, previous, batch = ahead.result() if ahead else [], batch, following
            ahead = worker.submit(encoder.tokeniser, [script for _, scripts in batch for script in scripts])
            yield from _matched(previous, results, skips)
        if ahead:
            yield from _matched(batch, ahead.result(), skips)


def _scripts(raws: Iterable[RawRow], encoder: Encoder, skips: Skips, longest: int | None) -> Iterator[tuple[RawRow, list[SupervisedText]]]:
    for raw in raws:
        try:
            scripts = encoder.texts(raw)
            for script in scripts:
                if longest and (least := encoder.tokeniser.min_tokens(script.text)) > longest:
                    raise _too_long(f"at least {least}", longest)
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
        faults = [result for result in own if isinstance(result, SwiftError)]
        if faults:
            skips.bad(faults[0], raw)
        else:
            yield raw, [encoded for sequences in own for encoded in sequences]


def take_unread(encoder: Encoder) -> Unread:
    """What an encoder has counted of fields that nobody reads, since it was last asked."""
    counter = getattr(encoder, "unread", None)
    found: Unread = counter.take() if counter else Unread()
    return found


def unread_of(store: Store) -> Unread:
    """The fields of a store's rows that nobody reads, and the control tokens in their texts."""
    return Unread(store.meta["unread"], store.meta["rows"], store.meta["control"])


def truncate(encoded: Encoded, truncation: str, most: int) -> Iterator[Encoded]:
    """A sequence of at most `most` tokens, by the strategy; nothing, where it is dropped.

    Raises:
        UsageError: it is too long, and the strategy is `error`.
    """
    count = len(encoded.ids)
    if count <= most:
        yield encoded
    elif truncation == "left":
        yield encoded.cut(count - most, count)
    elif truncation == "right":
        yield encoded.cut(0, most)
    elif truncation == "split":
        for start in range(0, count - 1, most - 1):  # pieces share a token, so that every token but the first is supervised once
            piece = encoded.cut(start, min(start + most, count))
            if _learns(piece):
                yield piece
    elif truncation == "error":
        raise _too_long(str(count), most)


def _made(choice: DataChoice, reading: Preprocessing, report: Report, what: str) -> Store:
    """A store for this process alone. Its files have lost their names, so that nothing is left however the process ends."""
    with tempfile.TemporaryDirectory(prefix="swift-tokenised-") as folder:
        _write(Path(folder), choice, reading, report, what)
        return Store(Path(folder))


def _kept(choice: DataChoice, key: str, reading: Preprocessing, report: Report, what: str) -> Store:
    """The store of that name in the cache, made by whichever process comes first."""
    home = paths.cache_dir("tokenised")
    folder = home / key
    if not (folder / META).is_file():
        try:
            paths.make_folder(home)
            with FileLock(home / f".{key}.lock"):
                if not (folder / META).is_file():
                    with paths.atomic_folder(folder, overwrite=True) as aside:
                        _write(aside, choice, reading, report, what)
                    return Store(folder)
        except (OSError, NotImplementedError, DiskFull, NotWritable) as error:  # the last: a disk without locks
            reason = paths.disk_error(error, home)
            why = reason.message if isinstance(reason, SwiftError) else str(error)
            report.note(f"WARNING: what is tokenised can't be kept in {home} ({why}): it is tokenised for this run alone.")
            return _made(choice, reading, report, what)
    store = Store(folder)
    _verify(store, choice, reading)
    if report.speaks and (skipped := folder / SKIPPED_FILE).is_file():
        with (report.folder / SKIPPED_FILE).open("ab") as out:
            out.write(skipped.read_bytes())
    report.note(f"{choice.asked}: {len(store)} samples tokenised before are used again.")
    return store


def _write(folder: Path, choice: DataChoice, reading: Preprocessing, report: Report, what: str) -> None:
    files = [report.folder / SKIPPED_FILE] if report.speaks else []
    skips = Skips(reading.options, [*files, folder / SKIPPED_FILE])
    total = 0

    def counted() -> Iterator[RawRow]:
        nonlocal total
        for row in raw_rows(choice, reading.options):
            total += 1
            if total % 500 == 0:
                report.progress(what, total, choice.limit, unit="rows")
            yield row

    write_samples(folder, counted(), reading, skips)
    skips.finish(total)


def write_samples(folder: Path, rows: Iterable[RawRow], reading: Preprocessing, skips: Skips) -> None:
    """Write the rows' samples as a store into an empty folder.

    Raises:
        UsageError: a row is bad and not skipped, or no samples came of them.
        MaskError: the mask of a row that was looked at is wrong.
    """
    good = dropped = 0
    longest = reading.max_length if reading.truncation == "error" else None
    take_unread(reading.encoder)  # of rows before these
    with StoreWriter(folder) as writer:
        for raw, sequences in encode_rows(rows, reading.encoder, skips, longest):
            try:
                pieces = samples_of_row(sequences, reading)
            except UsageError as error:
                skips.bad(error, raw)
                continue
            if good < _FIRST or good % _EVERY == 0:
                reading.encoder.check(raw, sequences)
            good += 1
            dropped += not pieces
            for piece in pieces:
                writer.add(piece, raw.file, raw.number)
        if not writer.samples:
            skips.finish(skips.count)
            raise UsageError(
                "no rows to learn from",
                where="dataset",
                hint="Is the data set empty, or is every row longer than max_length?",
            )
        unread = take_unread(reading.encoder)
        writer.finish(skipped=skips.count, dropped=dropped, rows=unread.rows, unread=dict(unread.counts), control=dict(unread.control))


def samples_of_row(sequences: Iterable[Encoded], reading: Preprocessing) -> list[Encoded]:
    """A row's samples; none where it is dropped.

    Raises:
        UsageError: it is too long, or has nothing to learn.
    """
    pieces = [piece for encoded in sequences for piece in truncate(encoded, reading.truncation, reading.max_length)]
    if not all(map(_learns, pieces)) or (not pieces and reading.truncation != "drop"):
        raise UsageError("nothing in this row is supervised", hint="Has it an answer, and is it within max_length?")
    return pieces


def _verify(store: Store, choice: DataChoice, reading: Preprocessing) -> None:
    """Check the first rows of a kept store, as if they were made now."""
    skips = Skips({"on_error": "skip", "max_skipped": "100%"})
    place = 0
    first = islice(raw_rows(choice, reading.options), _FIRST)
    for raw, sequences in encode_rows(first, reading.encoder, skips):
        try:
            pieces = samples_of_row(sequences, reading)
        except UsageError:  # one that was skipped
            continue
        reading.encoder.check(raw, sequences)
        for piece in pieces:
            if place == len(store) or store.ids[store.part(place)].tolist() != piece.ids.tolist():
                shutil.rmtree(store.folder)
                raise SwiftError(
                    "the rows that were tokenised before are not those of the data set any more",
                    where=str(store.folder),
                    hint="They were removed; start the run again.",
                )
            place += 1


def _learns(encoded: Encoded) -> bool:
    return any(span.stop > max(span.start, 1) for span in encoded.spans)


def _too_long(count: str, most: int) -> UsageError:
    return UsageError(
        f"{count} tokens, but max_length is {most}",
        hint="Give a larger --max-length, or say what to do: --truncation right (or left) cuts such rows, split cuts them into pieces, "
        "drop leaves them out.",
    )


def _fingerprint(tokeniser: Tokeniser) -> str:
    """A hash over the tokenizer and its chat template."""
    tokenizer: Any = tokeniser.tokenizer
    return paths.digest([tokenizer.backend_tokenizer.to_str(), str(tokenizer.chat_template), tokenizer.special_tokens_map])
