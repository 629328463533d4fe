"""Read the rows from the file beside this module."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from swift_core.contract import Progress, RawRow
from swift_plugin_acme.options import AcmeOptions


class Acme:
    """Riddles; each row is a conversation of two turns."""

    def __init__(self, options: AcmeOptions) -> None:
        self.about = options.about
        self.path = Path(__file__).with_name("riddles.jsonl")

    def fetch(self, progress: Progress | None = None) -> Sequence[Path]:
        """Return the files of the dataset; a dataset that has to be downloaded is downloaded here, once."""
        return (self.path,)

    def rows(self) -> Iterator[RawRow]:
        """Yield each row with its line number, so that errors can name it."""
        for number, line in enumerate(self.path.read_text(encoding="utf-8").splitlines(), 1):
            riddle = json.loads(line)
            if self.about in ("all", riddle["about"]):
                messages = [{"role": "user", "content": riddle["riddle"]}, {"role": "assistant", "content": riddle["answer"]}]
                yield RawRow({"messages": messages}, self.path.name, number)
