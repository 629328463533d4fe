"""The index of the shards of a tokenised corpus: `index.json`, written when all of them are whole."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from swift_core.contract import UsageError
from swift_core.system import digest
from swift_corpus.storage import Storage

INDEX = "index.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """A shard: its folder in the place of the index, sequences, tokens, and the SHA-256 over them (`swift_train.store`)."""

    folder: str
    sequences: int
    tokens: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """The shards of a corpus in the order of its rows.

    `facts` is what determines the samples of a row (`swift_train.preprocessing.Preprocessing.facts`), `datasets` what was tokenised, with
    hashes and licences, `rows` the number of rows read, `left_out` those that were left out, by reason.
    """

    facts: Mapping[str, Any]
    datasets: Sequence[Mapping[str, Any]]
    shards: Sequence[Shard]
    rows: int
    left_out: Mapping[str, int] = field(default_factory=dict)
    skipped: int = 0
    dropped: int = 0
    format: int = _FORMAT

    @property
    def digest(self) -> str:
        """Hash over all tokens, weights and boundaries of samples, the same whoever wrote the shards."""
        return digest([[shard.sequences, shard.digest] for shard in self.shards])

    @property
    def tokens(self) -> int:
        """Return the number of tokens."""
        return sum(shard.tokens for shard in self.shards)

    @property
    def sequences(self) -> int:
        """Return the number of sequences."""
        return sum(shard.sequences for shard in self.shards)

    def write(self, storage: Storage) -> None:
        """Write it; with it the corpus is whole."""
        data = {**asdict(self), "digest": self.digest, "tokens": self.tokens, "sequences": self.sequences}
        storage.write(INDEX, (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode())

    @classmethod
    def read(cls, storage: Storage) -> Index:
        """Read it.

        Raises:
            UsageError: there is none, or it is not one.
        """
        data = storage.find(INDEX)
        if data is None:
            hint = f"Write it with: swift data tokenize ROWS --model MODEL --output {storage.place}"
            if storage.find(PLAN) is not None:
                hint = "swift data tokenize has not finished it: run its command again, which continues."
            raise UsageError(f"there are no tokenised rows ({INDEX})", code="DATA-184", where=storage.place, hint=hint)
        return cls.parse(data, storage.place)

    @classmethod
    def parse(cls, data: bytes, where: str) -> Index:
        """Return the index in a file's bytes. Raises UsageError if it is not one, or does not match its own digest."""
        try:
            given = json.loads(data)
            stated = given.pop("digest"), given.pop("tokens"), given.pop("sequences")
            found = cls(**{**given, "shards": [Shard(**shard) for shard in given["shards"]]})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                f"{INDEX} can't be read: {error}",
                code="DATA-185",
                where=where,
                hint="It is damaged, or from another version: tokenise the rows again.",
            ) from error
        if stated[0] != found.digest:
            raise UsageError(
                f"{INDEX} was altered: its digest is another one", code="DATA-186", where=where, hint="Tokenise the rows again."
            )
        return found


PLAN = "plan.json"  # what is to be done, while it is not finished


def index_of(lines: Sequence[Mapping[str, Any]], datasets: Sequence[Mapping[str, Any]]) -> Index:
    """Return the index of shards, from the lines that the work on the parts returned, in order.

    Raises:
        UsageError: processes tokenised differently.
    """
    facts = lines[0]["facts"]
    if other := next((line for line in lines if line["facts"] != facts), None):
        names = ", ".join(name for name in facts if facts[name] != other["facts"].get(name))
        hint = "Install the same versions on all machines, and run the command again with --overwrite."
        raise UsageError(f"processes of the executor tokenise differently: {names}", code="DATA-187", where="executor", hint=hint)
    left_out = Counter[str]()
    for line in lines:
        left_out.update(line["left_out"])
    return Index(
        facts=facts,
        datasets=datasets,
        shards=[
            Shard(folder=line["folder"], sequences=line["sequences"], tokens=line["tokens"], digest=line["digest"])
            for line in lines
            if line["sequences"]
        ],
        rows=sum(line["rows"] for line in lines),
        left_out=dict(left_out.most_common()),
        skipped=sum(line["skipped"] for line in lines),
        dropped=sum(line["dropped"] for line in lines),
    )
