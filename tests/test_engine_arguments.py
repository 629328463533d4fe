"""Options of an engine as arguments."""

from __future__ import annotations

from typing import Any

from swift_serve.engine_flags import arguments

from swift_core.options.model import Options, option


class EngineOptions(Options):
    number: int | None = option(None, "A number.")
    word: str = option("", "A word.")
    switch: bool = option(False, "A switch.")
    table: dict[str, Any] = option(dict, "A table.")
    many: list[str] = option(list, "Many words.")


FLAGS = {"switch": "--switch", "number": "--number", "word": "--word", "table": "--table", "many": "--many"}


def test_what_is_set_is_said_in_the_order_of_the_flags():
    assert arguments(EngineOptions(), FLAGS) == []
    given = EngineOptions(number=0, word="a b", switch=True, table={"a": [1]}, many=["x", "y"])
    assert arguments(given, FLAGS) == ["--switch", "--number", "0", "--word", "a b", "--table", '{"a": [1]}', "--many", "x", "y"]
