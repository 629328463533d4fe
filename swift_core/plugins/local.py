"""Single-file plugins, for quick experiments: `swift --plugin ./my_plugin.py …`, or `plugins: [./my_plugin.py]` in YAML.

Only files that the user names are loaded. Their paths are kept in the environment variable SWIFT_LOCAL_PLUGINS, so that every process
that a command starts loads the same files; the run record lists them too. Inside the file, `Ref("my_plugin:Thing")` refers to what it
defines.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from swift_core.contract import UsageError, suggestion
from swift_core.system import paths

VARIABLE = "SWIFT_LOCAL_PLUGINS"
COMMANDS = "SWIFT_COMMANDS"  # module variable in such a file: its commands, `{"name": "module:command"}`, in place of entry points
_PREFIX = "local file "  # precedes the path, in place of the distribution name of an installed plugin


def local_plugins() -> list[Path]:
    """Return the local plugin files, in the order in which they were given."""
    return [Path(name) for name in os.environ.get(VARIABLE, "").split(os.pathsep) if name]


def use_local_plugins(names: object, *, where: str) -> None:
    """Load these files as plugins, in this process and in those that it starts. A file that is already loaded is left as it is.

    Args:
        names: paths, as the user wrote them.
        where: the option that named them, for errors.

    Raises:
        UsageError: `names` is not a list of paths, a file does not exist, or its name is not a valid module name.
    """
    if not isinstance(names, Sequence) or isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise UsageError("must be a list of Python files", code="PLUGIN-016", where=where, hint="Write `plugins: [./my_plugin.py]`.")
    known = local_plugins()
    added = [path for path in dict.fromkeys(_checked(name, where) for name in names) if path not in known]
    if added:
        from swift_core.plugins.loader import plugins
        from swift_core.plugins.registered import registry

        os.environ[VARIABLE] = os.pathsep.join(map(str, [*known, *added]))
        plugins.cache_clear()
        registry.cache_clear()


def distribution(path: Path) -> str:
    """Return the pseudo distribution name of a local plugin, as used in records and lists."""
    return f"{_PREFIX}{path}"


def file_of(distribution: str) -> Path | None:
    """Return the file behind a pseudo distribution name; None for an installed distribution."""
    return Path(distribution.removeprefix(_PREFIX)) if distribution.startswith(_PREFIX) else None


def version(path: Path) -> str:
    """Return the first 12 digits of the file's SHA-256, so that a record identifies the content of the file."""
    return paths.sha256(path)[:12]


def versions() -> dict[str, str]:
    """Map the pseudo distribution name of each local plugin to its version."""
    return {distribution(path): version(path) for path in local_plugins()}


def load(path: Path) -> ModuleType:
    """Import the file as a top-level module named after it, so that a Ref can refer to its contents.

    Raises:
        UsageError: another module has that name.
    """
    module = sys.modules.get(path.stem)
    if module and getattr(module, "__file__", None) == str(path):
        return module
    other = None if module else importlib.util.find_spec(path.stem)  # for a file in the current folder, this may find the file itself
    if module or (other and (other.origin is None or Path(other.origin).resolve() != path)):
        raise UsageError(f"another module is named '{path.stem}': rename the file", code="PLUGIN-017")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None  # the name ends in .py
    assert spec.loader is not None
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise
    return module


def line_of(error: BaseException, path: Path) -> str:
    """Return ', line 7' if the error was raised from that line of the file, else ''; a SyntaxError names its line itself."""
    frames = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f", line {frames[-1]}" if frames else ""


def _checked(name: str, where: str) -> Path:
    path = Path(name).expanduser().absolute()
    if not path.is_file():
        beside = [item.name for item in path.parent.glob("*.py")] if path.parent.is_dir() else []
        raise UsageError(
            f"there is no file '{name}'", code="PLUGIN-018", where=where, hint=suggestion(path.name, beside) or "Check the path."
        )
    if path.suffix != ".py" or not path.stem.isidentifier():
        raise UsageError(
            f"'{name}' can't be imported as a Python module", code="PLUGIN-019", where=where, hint="Use a file name such as my_plugin.py."
        )
    if os.pathsep in str(path.resolve()):
        raise UsageError(
            f"the path '{path}' contains '{os.pathsep}'",
            code="PLUGIN-020",
            where=where,
            hint="Move the file: that character separates paths.",
        )
    return path.resolve()
