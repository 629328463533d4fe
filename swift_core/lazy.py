"""Packages with one door: the public names of a package, each imported from its module when it is first used.

So `from swift_core.options import Options` imports pydantic, and `from swift_core.options import Settings` does not. Modules of a package
are its own business; others import from the package.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def door(package: str, modules: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of a package.

    Args:
        package: name of the package.
        modules: module of the package → the public names in it, separated by spaces. The same names are imported under TYPE_CHECKING in the
            package, for type checkers; a test compares both.
    """
    homes = {name: module for module, names in modules.items() for name in names.split()}

    def __getattr__(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)

    return __getattr__, lambda: sorted(homes)
