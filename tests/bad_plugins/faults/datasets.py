"""Data sets of texts."""

from __future__ import annotations

import itertools

from swift_core.contract import RawRow

_TURN = itertools.count()


class Texts:
    def __init__(self, options=None):
        pass

    def fetch(self, progress=None):
        return []

    def rows(self):
        return (RawRow({"text": f"Text {number}."}, "texts", number) for number in range(1, 9))


class Shuffled(Texts):
    def rows(self):
        rows = list(super().rows())
        return iter([rows[0], *rows[1:][:: 1 if next(_TURN) % 2 else -1]])


class GoesOn(Texts):
    def __init__(self, options=None):
        self.left = None

    def rows(self):
        self.left = self.left or super().rows()
        return self.left


class Repeats(Texts):
    def rows(self):
        return (row for row in super().rows() for _ in range(2))
