"""The tests' own home: what a machine happens to have is neither seen nor changed by them.

Every session starts with an empty HOME, SWIFT_HOME and set of XDG folders, for its own process and for every process that it starts.
Variables that steer swift, hubs, launchers or colours are taken away; those of pip, certificates and proxies stay. Ctrl-C is heard, as it
is not by what a script starts in the background, and one thread computes, since several processes of tests share the cores. Bytecode is
kept whatever the machine says, since every test process compiles the same modules and rewrites the same assertions. Between
sessions nothing is kept but downloads whose hashes were checked, and what a long lane installs, in `.cache/tests` of the checkout or where
SWIFT_TEST_CACHE says.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path

from swift_core.system.paths import cache_dir
from swift_core.system.threads import waiting

KEPT = ("hubs", "datasets")  # of SWIFT_HOME: archives as their authors made them, by version
KEPT_BY_LANES = ("deepspeed",)  # compiled for minutes, by version
_SESSION, _CACHE = "SWIFT_TEST_SESSION", "SWIFT_TEST_CACHE"
_PREFIXES = (
    *("SWIFT_", "XDG_", "HF_", "HUGGINGFACE_", "TRANSFORMERS_", "MODELSCOPE_", "OPENAI_"),
    *("TORCH_", "TORCHINDUCTOR_", "TORCHELASTIC_", "TRITON_", "DS_", "VLLM_", "SLURM_", "SBATCH_", "KUBE", "RAY_"),
)
_NAMES = {
    *("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "NPROC_PER_NODE", "NNODES", "NODE_RANK"),
    *("PYTHONDONTWRITEBYTECODE", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "LINES", "NETRC"),
}


@dataclass(frozen=True, slots=True)
class Session:
    """The folder of a session, whose `home` is HOME; `outer` is the developer's own SWIFT_HOME. `made`: by this process."""

    folder: Path
    outer: Path
    made: bool

    @property
    def cache(self) -> Path:
        """What is kept between sessions."""
        return Path(os.environ[_CACHE])

    def show_to_lane(self) -> None:
        """Let a long lane see what it stands on: the engines' environments that the developer made, and what was compiled for it."""
        _link(self.folder / "swift" / "envs", self.outer / "envs")
        for name in KEPT_BY_LANES:
            _link(self.folder / "swift" / name, self.cache / name)

    def remove(self) -> None:
        """Remove the folder, unless it is another process's."""
        if self.made:
            shutil.rmtree(self.folder, ignore_errors=True)


def begin(checkout: Path) -> Session:
    """Give this process and its children a home of their own; that of the session where it is a part of one already."""
    outer = cache_dir()
    if given := os.environ.get(_SESSION):
        return Session(Path(given), outer, made=False)
    cache = Path(os.environ.get(_CACHE) or checkout / ".cache" / "tests").absolute()
    pip = _pip_settings()
    for name in [name for name in os.environ if name in _NAMES or (name.startswith(_PREFIXES) and not name.startswith("SWIFT_TEST_"))]:
        del os.environ[name]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.dont_write_bytecode = False
    folder = Path(tempfile.mkdtemp(prefix="swift-tests-"))
    home, swift = folder / "home", folder / "swift"
    for each in (home, swift):
        each.mkdir()
    for name in KEPT:
        _link(swift / name, cache / name)
    xdg = {f"XDG_{kind}_HOME": str(home / path) for kind, path in (("CACHE", ".cache"), ("CONFIG", ".config"), ("DATA", ".local/share"))}
    places = {"HOME": home, "SWIFT_HOME": swift, "TORCHINDUCTOR_CACHE_DIR": folder / "inductor", _SESSION: folder, _CACHE: cache}
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.update({**waiting(), **xdg, **pip, **{name: str(place) for name, place in places.items()}})
    return Session(folder, outer, made=True)


def environment_with(distribution: str, version: str, folder: Path) -> Path:
    """The interpreter of a new virtual environment that has a distribution of that name, and nothing in it."""
    venv.create(folder, with_pip=False, symlinks=True)
    metadata = next(folder.glob("lib/python*/site-packages")) / f"{distribution}-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n", encoding="utf-8")
    return folder / "bin" / "python"


def _pip_settings() -> dict[str, str]:
    """Where pip looks for its index and keeps its downloads, which a developer may have said in HOME."""
    config = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "pip" / "pip.conf"
    downloads = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "pip"
    said = {"PIP_CONFIG_FILE": config, "PIP_CACHE_DIR": downloads}
    return {name: str(path) for name, path in said.items() if name not in os.environ and path.exists()}


def _link(name: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    if not name.is_symlink():
        name.symlink_to(target, target_is_directory=True)
