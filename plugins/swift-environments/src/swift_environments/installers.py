"""Commands of uv or pip. Each uses the user's own configuration: index, constraints, proxies and certificates."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from swift_core.contract import UsageError
from swift_environments.variables import cleared_variables

_UV_SETTINGS = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_NO_INDEX", "UV_CONFIG_FILE")
_UV_FILES = ("~/.config/uv/uv.toml", "/etc/uv/uv.toml", "/etc/xdg/uv/uv.toml")
_PIP_SETTINGS = ("index-url", "extra-index-url", "find-links", "no-index")


@dataclass(frozen=True, slots=True)
class Installer:
    """`uv` (its path) or, if that is empty, the pip of this environment."""

    uv: str = ""

    @property
    def name(self) -> str:
        """The name of the tool: `uv` or `pip`."""
        return "uv" if self.uv else "pip"

    def venv(self, base: Path, folder: Path) -> list[str]:
        """Return the command that creates an empty virtual environment."""
        if self.uv:
            return [self.uv, "venv", "--no-project", "--no-python-downloads", "--python", str(base), str(folder)]
        return [str(base), "-m", "venv", "--without-pip", str(folder)]

    def install(self, python: Path, arguments: Sequence[str]) -> list[str]:
        """Return the command that installs into the environment of `python`."""
        if self.uv:
            return [self.uv, "pip", "install", "--python", str(python), *arguments]
        return [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-input", "--disable-pip-version-check", *arguments]

    def version(self) -> str:
        """Return the name and version of the tool."""
        if self.uv:
            done = subprocess.run([self.uv, "--version"], capture_output=True, text=True, check=False)
            return " ".join(done.stdout.split()[:2])
        import importlib.metadata

        return f"pip {importlib.metadata.version('pip')}"


def installer() -> Installer:
    """Select the installer: uv if it is available, unless only pip has an index configured; else pip.

    Raises:
        UsageError: neither is available.
    """
    uv = shutil.which("uv") or ""
    has_pip = importlib.util.find_spec("pip") is not None
    if uv and not (has_pip and _pip_has_an_index() and not _uv_has_an_index()):
        return Installer(uv)
    if has_pip:
        return Installer()
    raise UsageError(
        "neither uv nor pip is installed; creating an environment needs one", code="ENV-017", hint=f"Run: {sys.executable} -m ensurepip"
    )


def own_settings(folder: Path) -> None:
    """Copy this environment's pip settings (`pip config --site`) into a new one; those of the user and the machine apply anyway."""
    settings = Path(sys.prefix) / "pip.conf"
    if sys.prefix != sys.base_prefix and settings.is_file():
        shutil.copyfile(settings, folder / "pip.conf")


def _uv_has_an_index() -> bool:
    return any(os.environ.get(name) for name in _UV_SETTINGS) or any(Path(name).expanduser().is_file() for name in _UV_FILES)


def _pip_has_an_index() -> bool:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"],
        capture_output=True,
        text=True,
        check=False,
        env=cleared_variables(),
    )
    return any(line.partition("=")[0].rpartition(".")[2] in _PIP_SETTINGS for line in done.stdout.splitlines())
