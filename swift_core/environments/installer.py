"""uv or pip, as commands. Each is run as the user has configured it: index, constraints, proxies and certificates are its own settings."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from swift_core.environments.interpreters import outside
from swift_core.errors import UsageError

_UV_SETTINGS = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_NO_INDEX", "UV_CONFIG_FILE")
_UV_FILES = ("~/.config/uv/uv.toml", "/etc/uv/uv.toml", "/etc/xdg/uv/uv.toml")
_PIP_SETTINGS = ("index-url", "extra-index-url", "find-links", "no-index")


@dataclass(frozen=True, slots=True)
class Installer:
    """`uv` (its path) or, where that is empty, the pip of this environment."""

    uv: str = ""

    @property
    def name(self) -> str:
        """uv or pip."""
        return "uv" if self.uv else "pip"

    def venv(self, base: Path, folder: Path) -> list[str]:
        """The command that makes an environment without packages."""
        if self.uv:
            return [self.uv, "venv", "--no-project", "--no-python-downloads", "--python", str(base), str(folder)]
        return [str(base), "-m", "venv", "--without-pip", str(folder)]

    def install(self, python: Path, arguments: Sequence[str]) -> list[str]:
        """The command that installs into the environment of `python`."""
        if self.uv:
            return [self.uv, "pip", "install", "--python", str(python), *arguments]
        return [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-input", "--disable-pip-version-check", *arguments]

    def version(self) -> str:
        """Name and version."""
        if self.uv:
            done = subprocess.run([self.uv, "--version"], capture_output=True, text=True, check=False)
            return " ".join(done.stdout.split()[:2])
        import importlib.metadata

        return f"pip {importlib.metadata.version('pip')}"


def installer() -> Installer:
    """uv where it is there; pip where it is not, or where only pip has been told which index to use.

    Raises:
        UsageError: there is neither.
    """
    uv = shutil.which("uv") or ""
    has_pip = importlib.util.find_spec("pip") is not None
    if uv and not (has_pip and _pip_has_an_index() and not _uv_has_an_index()):
        return Installer(uv)
    if has_pip:
        return Installer()
    raise UsageError("an environment is made with uv or pip, and neither is here", hint=f"Install one: {sys.executable} -m ensurepip")


def own_settings(folder: Path) -> None:
    """Give a new environment the pip settings of this one (`pip config --site`); those of user and machine hold everywhere."""
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
        env=outside(),
    )
    return any(line.partition("=")[0].rpartition(".")[2] in _PIP_SETTINGS for line in done.stdout.splitlines())
