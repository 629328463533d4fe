"""Packages with one door: the public names of a package, each imported from its module when it is first used.

So `from swift_core.options import Options` imports pydantic, and `from swift_core.options import read_yaml` does not. The names are listed
once, in the package's stub `__init__.pyi`, which type checkers and editors read as well: `from package.module import Name as Name`.

Every start imports this module, so it does not import `typing`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from itertools import pairwise


def door(package: str, file: str) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of the package whose `__init__.py` is `file`; its public names are those of `__init__.pyi`."""

    @cache
    def homes() -> dict[str, str]:
        with open(f"{file}i", encoding="utf-8") as stub:
            return exports(stub.read())

    def __getattr__(name: str) -> object:
        if home := homes().get(name):
            return getattr(importlib.import_module(home), name)
        raise AttributeError(f"module '{package}' has no attribute '{name}'")

    return __getattr__, lambda: sorted(homes())


def exports(stub: str) -> dict[str, str]:
    """Map each name that a stub exports (`from module import Name as Name`) to its module."""
    found: dict[str, str] = {}
    module = ""
    for line in stub.splitlines():
        words = line.replace(",", " ").split()
        if words[:1] == ["from"]:
            module = words[1]
        found |= {name: module for word, name in pairwise(words) if word == "as"}
    return found
