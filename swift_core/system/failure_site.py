"""The place in a plugin's code that an exception comes from, for a sentence in place of a traceback."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path


def failure_site_of(error: BaseException, module: str, *, only: bool = False) -> str:
    """Return the innermost frame in a module's package as ' (FILE, line N)'; without one, the innermost frame, or '' if `only`.

    A SyntaxError says its place itself.
    """
    if isinstance(error, SyntaxError):
        return ""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    home = _home(module)
    own = [frame for frame in frames if home and (Path(frame.filename) == home or home in Path(frame.filename).parents)]
    found = own or ([] if only else frames)
    return f" ({found[-1].filename}, line {found[-1].lineno})" if found else ""


def _home(module: str) -> Path | None:
    """Return the folder of the module's top-level package, or its file if it is no package."""
    top = module.partition(".")[0]
    file = getattr(sys.modules.get(top), "__file__", None)
    if file is None:
        return None
    return Path(file).parent if Path(file).name == "__init__.py" else Path(file)
