"""A plugin that is one file, for a quick try: `swift --plugin ./my_plugin.py …`, or `plugins: [./my_plugin.py]` in YAML.

Nothing is loaded that was not named. The paths stand in SWIFT_LOCAL_PLUGINS, so that every process that a command starts loads the same
files; a run's record carries them too. In the file, `Ref("my_plugin:Thing")` names what it defines.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from swift_core import paths
from swift_core.errors import UsageError, suggestion

VARIABLE = "SWIFT_LOCAL_PLUGINS"
COMMANDS = "SWIFT_COMMANDS"  # in such a file: its commands, `{"name": "module:command"}`, as an installed plugin has entry points
_HOME = "local file "  # before the path, where an installed plugin has its distribution's name


def local_plugins() -> list[Path]:
    """The files that were named, in that order."""
    return [Path(name) for name in os.environ.get(VARIABLE, "").split(os.pathsep) if name]


def use(names: object, *, where: str) -> None:
    """Have these files loaded as plugins, by this process and by those that it starts. A file that is named already stays as it is.

    Args:
        names: paths, as they are written.
        where: what named them, for errors.

    Raises:
        UsageError: not a list of paths, no such file, or one whose name can't be a module's.
    """
    if not isinstance(names, Sequence) or isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise UsageError("must be a list of Python files", where=where, hint="Write `plugins: [./my_plugin.py]`.")
    known = local_plugins()
    added = [path for path in dict.fromkeys(_checked(name, where) for name in names) if path not in known]
    if added:
        from swift_core.plugins import plugins
        from swift_core.registry import registry

        os.environ[VARIABLE] = os.pathsep.join(map(str, [*known, *added]))
        plugins.cache_clear()
        registry.cache_clear()


def distribution(path: Path) -> str:
    """What stands for the distribution of such a plugin, in records and lists."""
    return f"{_HOME}{path}"


def file_of(distribution: str) -> Path | None:
    """The file that `distribution` names; None for one that is installed."""
    return Path(distribution.removeprefix(_HOME)) if distribution.startswith(_HOME) else None


def version(path: Path) -> str:
    """The first digits of the file's hash, so that a record says which state of the file it was."""
    return paths.sha256(path)[:12]


def versions() -> dict[str, str]:
    """The files that were named, by `distribution`, with the `version` of each."""
    return {distribution(path): version(path) for path in local_plugins()}


def load(path: Path) -> ModuleType:
    """Import the file as the module of its name, so that a Ref can name what is in it."""
    module = sys.modules.get(path.stem)
    if module and getattr(module, "__file__", None) == str(path):
        return module
    other = None if module else importlib.util.find_spec(path.stem)  # in the current folder it may be this very file
    if module or (other and (other.origin is None or Path(other.origin).resolve() != path)):
        raise UsageError(f"there is another module named '{path.stem}': give the file another name")
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
    """', line 7' where the error came out of that line of the file; a SyntaxError says it itself."""
    frames = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f", line {frames[-1]}" if frames else ""


def _checked(name: str, where: str) -> Path:
    path = Path(name).expanduser().absolute()
    if not path.is_file():
        beside = [item.name for item in path.parent.glob("*.py")] if path.parent.is_dir() else []
        raise UsageError(f"there is no file '{name}'", where=where, hint=suggestion(path.name, beside) or "Check the path.")
    if path.suffix != ".py" or not path.stem.isidentifier():
        raise UsageError(f"'{name}' is no Python file that can be imported", where=where, hint="Name it like my_plugin.py.")
    if os.pathsep in str(path.resolve()):
        raise UsageError(f"'{path}' has '{os.pathsep}' in its path", where=where, hint="Put it elsewhere: that character parts paths.")
    return path.resolve()
