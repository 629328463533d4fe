"""Environments of engines, made by a real pip from a folder of wheels: what works, and everything that can go wrong on the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from swift_environments import own_code
from swift_environments.installers import own_settings
from swift_environments.process import Work

from swift_core.plugins import registry
from swift_core.system.file_lock import locked
from tests.conftest import CommandLine
from tests.tiny_wheels import write_index
from tests.waiting import HANG, wait_for

pytestmark = pytest.mark.slow

PLUGIN = """
from swift_core import hookimpl
from swift_core.contract.specs import BackendSpec, Engine, Ref
from swift_serve.roles import Command

class Backend:
    def __init__(self, options):
        pass

    def command(self, serving):
        return Command(argv=(serving.python, "-m", "tiny_engine", str(serving.port), serving.name))

def backend(name, **engine):
    engines, factory = (Engine(**engine),), Ref("swift_plugin_tiny:Backend")
    return BackendSpec(name=name, summary=name, factory=factory, engines=engines, isolated=True, reads=("safetensors",))

@hookimpl
def swift_backends():
    return [
        backend("tiny", requirements=("tiny-engine>=1",)),
        backend("twin", requirements=("tiny-engine>=1",)),
        backend("other", requirements=("other-engine",), disk=0.1),
        backend("loose", requirements=("tiny-lib",)),
        backend("alone", no_deps=("other-engine",)),
        backend("unservable", requirements=("tiny-engine>=9",)),
        backend("torn", requirements=("tiny-lib==2.0", "tiny-engine")),
        backend("future", python=">=3.99", requirements=("tiny-lib",)),
        backend("newer", python=">=3.12", requirements=("tiny-lib",)),
        backend("elsewhere", when="npu", requirements=("tiny-lib",)),
    ]
"""
INFO = """Metadata-Version: 2.1
Name: swift-plugin-tiny
Version: 1.0
Requires-Dist: swift-core
Requires-Dist: swift-environments
Requires-Dist: swift-plugin-hubs
Requires-Dist: swift-serve
"""


@pytest.fixture(scope="session")
def index(tmp_path_factory, warm_process) -> Path:
    return write_index(tmp_path_factory.mktemp("index"))


def command_line(folder: Path, index: Path) -> CommandLine:
    """`swift` with the plugin above, a cache of its own, and a pip that knows nothing but the folder of wheels."""
    info = folder / "site" / "swift_plugin_tiny-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(INFO)
    (info / "entry_points.txt").write_text("[swift.plugins]\ntiny = swift_plugin_tiny\n")
    (folder / "site" / "swift_plugin_tiny.py").write_text(PLUGIN)
    pip = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index), "PIP_NO_COMPILE": "1", "PIP_CONSTRAINT": ""}
    return CommandLine(folder, [str(folder / "site")], {"SWIFT_HOME": str(folder / "home"), **pip}, warm=True)


@pytest.fixture
def swift(tmp_path, index) -> CommandLine:
    return command_line(tmp_path, index)


@pytest.fixture(scope="module")
def made(tmp_path_factory, index) -> CommandLine:
    """With the environments of two engines that pin conflicting versions."""
    line = command_line(tmp_path_factory.mktemp("made"), index)
    for name in ("tiny", "other"):
        done = line("env", "create", name)
        assert done.code == 0, done.err
        assert f"{name} is ready" in done.out
    return line


def shown(line: CommandLine, name: str) -> dict:
    return json.loads(line("env", "show", name, "--json").out)


def left(line: CommandLine) -> list[str]:
    """What is in the folder of environments, but locks and logs."""
    home = Path(line.env["SWIFT_HOME"]) / "envs"
    return sorted(path.name for path in home.iterdir() if path.suffix not in (".lock", ".log"))


def test_engines_that_pin_conflicting_versions_live_side_by_side(made):
    tiny, other = shown(made, "tiny"), shown(made, "other")
    assert {"tiny-engine==1.0", "tiny-lib==1.0"} <= set(tiny["freeze"])
    assert {"other-engine==1.0", "tiny-lib==2.0"} <= set(other["freeze"])
    assert not any(line.startswith("swift") for line in tiny["freeze"])
    rows = json.loads(made("env", "list", "--json").out)
    assert [(row["name"], row["state"], row["used_by"]) for row in rows] == [
        ("other", "ready", "backend other"),
        ("tiny", "ready", "backend tiny, twin"),
    ]
    assert all(row["size"] > 1e6 for row in rows)
    assert "ready" in made("env", "list").out
    for name in ("tiny", "other"):
        done = made("env", "doctor", name)
        assert done.code == 0, done.out
        assert "no conflicts" in done.out


@pytest.mark.slow
def test_what_is_in_use_is_not_removed(made):
    python = Path(shown(made, "tiny")["folder"]) / "bin" / "python"
    with subprocess.Popen([python, "-c", "input()"], stdin=subprocess.PIPE) as server:
        reported = made("env", "remove", "tiny", "--yes")
        server.communicate(b"\n")
    assert reported.code == 2
    assert f"is in use by process {server.pid}" in reported.err
    assert python.exists()


def test_nothing_is_removed_unasked(made):
    reported = made("env", "remove", "tiny")
    assert reported.code == 2
    assert "Add --yes" in reported.err
    assert shown(made, "tiny")


def test_a_second_create_finds_the_first(made):
    again = json.loads(made("env", "create", "tiny", "--json").out)
    assert again["made"] == shown(made, "tiny")["made"]


def test_two_on_the_same_engine_share_one(made):
    before = left(made)
    done = made("env", "create", "twin")
    assert "tiny is ready" in done.out
    assert left(made) == before
    assert shown(made, "twin")["folder"] == shown(made, "tiny")["folder"]
    asked = made("env", "remove", "twin")
    assert "tiny-" in asked.out
    assert "stdin is not a terminal" in asked.err


def test_our_code_in_it_is_what_is_running(made):
    code = (
        "import json, importlib.metadata as m, swift_core, swift_core.plugins.registered as r; "
        "print(json.dumps([swift_core.__file__, m.version('swift-core'), [b.name for b in r.registry().all('backend')]]))"
    )
    env = shown(made, "tiny")
    clean = {"PATH": os.environ["PATH"]}
    done = subprocess.run([env["python_path"], "-c", code], capture_output=True, text=True, check=True, env=clean, cwd=made.folder)
    file, version, backends = json.loads(done.stdout)
    assert file.startswith(env["folder"])
    assert version == env["ours"]["swift-core"]
    assert "tiny" in backends


def test_edited_code_is_taken_over_before_it_is_used(made, tiny_model):
    source = made.folder / "site" / "swift_plugin_tiny.py"
    source.write_text(f"{PLUGIN}\nEDITED = True\n")
    assert made("serve", str(tiny_model), "--backend", "tiny", "--dry-run").code == 0
    env = shown(made, "tiny")
    done = subprocess.run(
        [env["python_path"], "-c", "import swift_plugin_tiny as p; print(p.EDITED)"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "True\n"
    assert len(list((Path(env["folder"]) / "own").iterdir())) == 1


def test_installed_distributions_are_copied_by_their_list_of_files():
    import importlib.metadata

    files = dict(own_code._code(importlib.metadata.distribution("pluggy")))
    assert "pluggy/__init__.py" in files
    assert not any(name.endswith(".pyc") or ".." in name for name in files)


JOBS = (  # what `in_engine` is given, and the module that starts it
    "swift_engines.worker", "swift_convert.verify_worker", "swift_convert.export", "swift_convert.quantize", "swift_evaluate.ask_job",
    "swift_train.quantize", "swift_train.verify_worker",
)  # fmt: skip


def test_jobs_can_be_imported_in_an_environment_which_has_no_code_that_makes_environments():
    script = "import importlib, sys\nsys.modules['swift_environments'] = None\nfor name in sys.argv[1:]:\n    importlib.import_module(name)"
    done = subprocess.run([sys.executable, "-P", "-c", script, *JOBS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("kind", "library"), [("exporter", "convert"), ("quantizer", "convert"), ("evaluator", "evaluate")])
def test_an_engine_has_the_library_of_its_jobs_and_the_formats_in_its_environment(kind, library):
    for entry in registry().entries(kind):
        if entry.spec.engines:
            ours = own_code.versions(own_code.distributions(entry.plugin.distribution))
            assert {f"swift-{library}", "swift-formats"} <= ours.keys(), entry.spec.name


def test_an_absent_engine_is_reported_offered_and_installed(swift, tiny_model):
    serve = ("serve", str(tiny_model), "--backend", "tiny", "--port", "0")
    reported = swift(*serve)
    assert reported.code == 2
    assert "the engine of the backend 'tiny' is not installed here (missing: tiny-engine>=1)" in reported.err
    assert "swift env create tiny" in reported.err
    listed = swift(*serve, "--no-provision")
    assert listed.code == 2
    assert json.loads(listed.out)["missing"] == ["tiny-engine>=1"]
    assert swift(*serve, "--dry-run", "--yes").code == 2  # a dry run makes nothing
    assert not (swift.folder / "home" / "envs").exists()
    assert "engine not installed" in swift("plugins").out
    process = swift.popen(*serve, "--yes", stdin=subprocess.DEVNULL)
    try:
        line = next(line for line in process.stdout if line.startswith("ready: "))
        with urllib.request.urlopen(f"{line.split()[1]}/models", timeout=HANG) as response:
            said = json.load(response)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=HANG)
    env = shown(swift, "tiny")
    assert (said["python"], said["lib"]) == (env["python_path"], "1.0")
    run = json.loads(next((swift.folder / "runs").glob("*/run.json")).read_text())
    assert run["parts"]["backend"]["python"] == env["python_path"]
    offers = {offer["name"]: offer for plugin in json.loads(swift("plugins", "--json").out) for offer in plugin["offers"]}
    assert (offers["tiny"]["missing"], offers["tiny"]["environment"]) == ("", True)
    assert offers["other"]["missing"]


def test_on_a_terminal_it_asks_and_takes_no_for_an_answer(swift, tiny_model):
    import pty

    ours, theirs = pty.openpty()
    env = {**os.environ, **swift.env, "PYTHONPATH": swift.paths[0]}
    words = [sys.executable, "-m", "swift_core.cli", "serve", str(tiny_model), "--backend", "other"]
    process = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=env, cwd=swift.folder)
    os.close(theirs)
    said = b""
    os.write(ours, b"n\n")
    while True:
        try:
            said += os.read(ours, 4096)
        except OSError:  # the other side is closed
            break
    os.close(ours)
    assert process.wait(HANG) == 2
    text = said.decode()
    assert "packages: other-engine" in text
    assert "about 100.0 MB" in text
    assert "Create it? [y/N]" in text
    assert not (swift.folder / "home" / "envs").exists()


def test_an_environment_made_elsewhere(made, tiny_model, tmp_path):
    python = shown(made, "tiny")["python_path"]
    config = made.folder / "serve.yaml"
    config.write_text(f"model: {tiny_model}\nbackend: tiny\nenvs:\n  tiny: {python}\n")
    elsewhere = command_line(tmp_path, made.folder)
    done = elsewhere("serve", str(config), "--dry-run")
    assert json.loads(done.out)["parts"]["backend"]["python"] == python
    assert elsewhere("env", "doctor", "tiny", "--python", python).code == 0
    for envs, said in (
        ({"tiny": "/no/such/python"}, "there is no '/no/such/python'"),
        ({"tiny": shown(made, "other")["python_path"]}, "has no tiny-engine"),
        ({"tiny": "/bin/false"}, "is not a working Python"),
        ({"tinny": python}, "Did you mean 'tiny'?"),
    ):
        reported = elsewhere("serve", str(tiny_model), "--backend", "tiny", "--dry-run", "--envs", json.dumps(envs))
        assert reported.code == 2
        assert said in reported.err


def test_another_plugin_may_have_the_environment(swift, tiny_model):
    python = swift.folder / "engines" / "tiny" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    swift.env["CLUSTER_ENGINES"] = str(swift.folder / "engines")
    example = Path(__file__).parent.parent / "docs" / "examples" / "cluster_environments.py"
    done = swift("--plugin", str(example), "serve", str(tiny_model), "--backend", "tiny", "--dry-run")
    assert json.loads(done.out)["parts"]["backend"]["python"] == str(python)
    assert swift("serve", str(tiny_model), "--backend", "tiny", "--dry-run").code == 2


def test_another_device_and_an_unknown_name_are_reported(swift):
    assert "It runs on npu; this machine has" in swift("env", "create", "elsewhere").err
    assert "Did you mean 'tiny'?" in swift("env", "create", "tinny").err
    assert "there is no environment for 'tiny'" in swift("env", "doctor", "tiny").err
    assert "there is no environment" in swift("env", "remove", "--all").err
    assert "No environments" in swift("env", "list").out


@pytest.mark.slow
def test_two_processes_make_one_environment(swift):
    both = [swift.popen("env", "create", "loose", "--json") for _ in range(2)]
    answers = [process.communicate(timeout=HANG) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    first, second = (json.loads(out) for out, _ in answers)
    assert first == second
    assert len(left(swift)) == 1


@pytest.mark.slow
def test_what_is_on_the_path_here_is_not_there(swift):
    """A package on PYTHONPATH must not count as installed in the environment."""
    info = Path(swift.paths[0]) / "tiny_lib-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-lib\nVersion: 2.0\n")
    assert swift("env", "create", "other").code == 0
    assert (Path(shown(swift, "other")["site_packages"]) / "tiny_lib.py").is_file()


@contextmanager
def installing(line: CommandLine, name: str) -> Iterator[tuple[subprocess.Popen, Path]]:
    """A create whose pip waits for an index that takes the connection and never answers, and the folder that it fills."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        usual = line.env
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        line.env = {**usual, "PIP_NO_INDEX": "", "PIP_FIND_LINKS": "", "PIP_INDEX_URL": url}
        process = line.popen("env", "create", name)
        line.env = usual
        silent.settimeout(HANG)
        with silent.accept()[0]:
            yield process, next((Path(line.env["SWIFT_HOME"]) / "envs").glob(f"{name}-*/"))


def working_in(folder: Path) -> list[str]:
    """The processes that have the folder in their arguments."""
    commands = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            commands.append(path.read_bytes().decode(errors="replace"))
        except OSError:  # ended meanwhile
            continue
    return [text for text in commands if str(folder) in text]


@pytest.mark.slow
def test_a_killed_create_leaves_nothing_that_is_used(swift, tiny_model):
    with installing(swift, "tiny") as (process, folder):
        assert working_in(folder)
        process.kill()
        process.communicate()
        assert not (folder / "environment.json").exists()
        assert "unfinished" in swift("env", "list").out
        assert "is not installed here" in swift("serve", str(tiny_model), "--backend", "tiny").err
        again = swift("env", "create", "tiny")  # waits until what the killed one had started has ended
    assert again.code == 0, again.err
    assert "is not usable (unfinished): creating it again" in again.err
    assert not working_in(folder)
    assert swift("env", "doctor", "tiny").code == 0
    assert swift("env", "remove", "tiny", "--yes").code == 0
    assert left(swift) == []


def test_the_installer_ends_with_the_process_that_started_it(swift):
    """pip waits for an index that takes the connection and never answers; it must not go on doing so alone."""
    with installing(swift, "tiny") as (process, folder):
        process.kill()
        process.communicate()
        wait_for(lambda: not working_in(folder))


def test_a_stopped_create_takes_its_folder_away(swift):
    with installing(swift, "tiny") as (process, folder):
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=HANG)
        assert process.returncode == 130
        assert left(swift) == []
        assert not working_in(folder)


def test_a_full_disk_is_reported_and_nothing_stays(swift):
    home = swift.folder / "small"
    home.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", home], capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no small disk can be made here: {mounted.stderr.strip()}")
    try:
        swift.env["SWIFT_HOME"] = str(home)
        done = swift("env", "create", "tiny")
        assert done.code == 1
        assert "the disk is full" in done.err
        assert left(swift) == []
        assert "No space left" in next((home / "envs").glob("*.log")).read_text()
    finally:
        subprocess.run(["umount", home], check=True)


def test_progress_is_counted_and_everything_is_logged(tmp_path):
    events: list = []
    says = "Collecting a\\n  Downloading a-1.whl\\nCollecting b\\nInstalling collected packages: a, b, c"
    with locked(tmp_path / "env") as claimed:
        Work(tmp_path / "env", claimed, events.append).run([sys.executable, "-c", f"print('{says}')"])
    assert [(event["what"], event["done"], event["total"]) for event in events] == [
        ("collected", 1, None),
        ("collected", 2, None),
        ("collected", 3, 3),
    ]
    assert "Collecting b\n" in (tmp_path / "env.log").read_text()


def test_pip_settings_of_this_environment_are_given_on(tmp_path, monkeypatch):
    (tmp_path / "pip.conf").write_text("[global]\nindex-url = https://wheels.example/simple\n")
    (tmp_path / "env").mkdir()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    own_settings(tmp_path / "env")
    assert "wheels.example" in (tmp_path / "env" / "pip.conf").read_text()


def refused(line: CommandLine, name: str, *more: str) -> str:
    done = line("env", "create", name, *more)
    assert done.code == 1, done.out
    assert left(line) == []
    return done.err


def test_a_requirement_that_the_index_has_not_is_shown_with_pips_own_reason(swift):
    reported = refused(swift, "unservable")
    assert "Could not find a version that satisfies the requirement tiny-engine>=9 (from versions: 1.0)" in reported
    assert "The index has no 'tiny-engine>=9'" in reported


def test_requirements_that_conflict_are_named(swift):
    reported = refused(swift, "torn")
    assert "The user requested tiny-lib==2.0" in reported
    assert "tiny-engine 1.0 depends on tiny-lib==1.0" in reported
    assert "can't be installed together" in reported


def test_constraints_of_the_user_hold(swift):
    constraints = swift.folder / "constraints.txt"
    constraints.write_text("tiny-lib==2.0\n")
    assert "The user requested (constraint) tiny-lib==2.0" in refused(swift, "tiny", "--constraint", "constraints.txt")
    swift.env["PIP_CONSTRAINT"] = str(constraints)
    assert "The user requested (constraint) tiny-lib==2.0" in refused(swift, "tiny")
    assert "there is no file 'nothing.txt'" in swift("env", "create", "tiny", "--constraint", "nothing.txt").err


def test_an_unreachable_index_is_reported(swift):
    swift.env |= {"PIP_NO_INDEX": "", "PIP_FIND_LINKS": "", "PIP_INDEX_URL": "http://127.0.0.1:1/simple", "PIP_RETRIES": "1"}
    reported = refused(swift, "tiny")
    assert "the package index (http://127.0.0.1:1/simple) can't be reached: [Errno 111] Connection refused" in reported


@pytest.mark.slow
def test_an_environment_that_broke_is_diagnosed_and_made_anew(swift, tiny_model):
    assert swift("env", "create", "tiny").code == 0
    env = shown(swift, "tiny")
    site = Path(env["site_packages"])
    (site / "tiny_lib-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-lib\nVersion: 2.0\n")
    reported = swift("env", "doctor", "tiny")
    assert reported.code == 1
    assert "tiny-engine 1.0 requires tiny-lib==1.0, but tiny-lib 2.0 is installed" in reported.out
    for source, said in (
        ("raise ImportError('no kernel image')", "importing tiny_engine: ImportError: no kernel image"),
        ("import os; os.kill(os.getpid(), 11)", "exited with code -11"),
        ("import time; time.sleep(600)", "no answer within 2 seconds"),
        ("print('{}')", "tiny_engine can be imported"),
    ):
        (site / "tiny_lib.py").write_text(source if "print" not in source else f"VERSION = 1\n{source}\n")
        limit = "2" if "sleep" in source else "300"
        assert said in swift("env", "doctor", "tiny", "--timeout", limit).out
    python = Path(env["python_path"])
    python.unlink()
    python.symlink_to("/gone/python3")
    assert "its Python is missing" in swift("env", "list").out
    assert "the interpreter does not run" in swift("env", "doctor", "tiny").out
    assert "its Python is missing" in swift("serve", str(tiny_model), "--backend", "tiny").err
    again = swift("env", "create", "tiny")
    assert "is not usable (its Python is missing)" in again.err
    assert again.code == 0, again.err
    assert swift("env", "doctor", "tiny").code == 0


@pytest.mark.slow
def test_a_lock_reproduces_the_environment(swift):
    (swift.folder / "constraints.txt").write_text("tiny-lib==1.0\n")
    assert swift("env", "create", "loose", "--constraint", "constraints.txt").code == 0
    before = shown(swift, "loose")["freeze"]
    assert swift("env", "lock", "loose", "-o", "loose.lock").code == 0
    assert "exists" in swift("env", "lock", "loose", "-o", "loose.lock").err
    assert swift("env", "remove", "loose", "--yes").code == 0
    assert "the file was locked for backend loose; this is backend tiny" in swift("env", "create", "tiny", "--locked", "loose.lock").err
    assert swift("env", "create", "loose", "--locked", "loose.lock").code == 0
    assert "tiny-lib==1.0" in before  # the index has 2.0
    assert shown(swift, "loose")["freeze"] == before
    other = swift.folder / "other.lock"
    other.write_text((swift.folder / "loose.lock").read_text().replace("tiny-lib==1.0", "tiny-lib==2.0"))
    assert "with other versions than the locked ones: tiny-lib==2.0" in swift("env", "create", "loose", "--locked", "other.lock").err


@pytest.mark.slow
def test_what_comes_without_its_dependencies(swift):
    assert swift("env", "create", "alone").code == 0
    freeze = shown(swift, "alone")["freeze"]
    assert "other-engine==1.0" in freeze
    assert not any(line.startswith("tiny-lib") for line in freeze)
    reported = swift("env", "doctor", "alone")
    assert reported.code == 1  # this engine does need what was left out
    assert "No module named 'tiny_lib'" in reported.out
    assert "other-engine is installed without these dependencies, on purpose: tiny-lib==2.0" in reported.out
    assert swift("env", "lock", "alone").out.endswith("# without their dependencies:\nother-engine==1.0\n")


def test_the_python_that_an_engine_wants(swift):
    reported = swift("env", "create", "future", "--dry-run")
    assert reported.code == 2
    assert "Python >=3.99" in reported.err
    assert "--python PATH" in reported.err
    assert "is not a working Python" in swift("env", "create", "tiny", "--python", "/bin/false").err
    others = [*Path.home().glob(".pyenv/versions/3.1[2-9]*/bin/python3.1[2-9]"), *Path("/usr/bin").glob("python3.1[2-9]")]
    if not others:
        pytest.skip("no Python newer than 3.11 here")
    swift.env["PATH"] = f"{others[0].parent}{os.pathsep}{os.environ['PATH']}"
    plan = json.loads(swift("env", "create", "newer", "--dry-run", "--json").out)
    assert plan["python"]["version"].startswith("3.1")
    assert plan["python"]["version"] > "3.12"
    assert plan["state"] == "absent"
    assert not (swift.folder / "home" / "envs").exists()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("uv") is None, reason="uv is not on the path")
def test_uv_makes_it_where_it_is_there_and_pip_where_only_pip_is_set_up(swift, index):
    assert json.loads(swift("env", "create", "tiny", "--dry-run", "--json").out)["installer"].startswith("pip")
    swift.env |= {"UV_NO_INDEX": "1", "UV_FIND_LINKS": str(index), "UV_NO_CONFIG": "1", "UV_CACHE_DIR": str(swift.folder / "uv")}
    reported = swift("env", "create", "unservable")
    assert reported.code == 1
    assert "tiny-engine>=9" in reported.err
    assert "only the following versions of tiny-engine are available" in reported.err or "tiny-engine==1.0" in reported.err
    assert left(swift) == []
    assert swift("env", "create", "tiny").code == 0
    assert shown(swift, "tiny")["builder"].startswith("uv ")
    assert swift("env", "doctor", "tiny").code == 0
