"""The tests' own home: nothing of the developer's is seen, and nothing is left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from swift_environments.record import environments

from swift_core.system.paths import cache_dir

ROOT = Path(__file__).parent.parent
BEGIN = """
import json, os
from pathlib import Path
from tests import home

session = home.begin(Path("checkout"))
again = home.begin(Path("checkout"))
session.show_to_lane()
seen = sorted(path.name for path in (session.folder / "swift/envs").iterdir())
print(json.dumps({"env": dict(os.environ), "seen": seen, "same": again.folder == session.folder, "theirs": again.made}))
again.remove()
assert session.folder.exists()
session.remove()
assert not session.folder.exists()
"""


def begun(folder: Path, **variables: str) -> dict:
    """What a session in an environment with these variables has, and a home that holds an engine's environment."""
    home = folder / "home"
    (home / ".cache/swift-core/envs/vllm-1").mkdir(parents=True)
    (home / ".cache/pip").mkdir()
    (home / ".config/pip").mkdir(parents=True)
    (home / ".config/pip/pip.conf").touch()
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(home), "TMPDIR": str(folder), **variables}
    done = subprocess.run([sys.executable, "-c", BEGIN], cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_this_session_has_an_empty_home():
    assert not [*environments()]
    assert Path.home() != Path(os.path.expanduser(f"~{os.environ.get('USER', 'root')}"))
    assert cache_dir() == Path(os.environ["SWIFT_HOME"])


def test_variables_of_the_machine_are_gone_and_those_of_pip_stay(tmp_path):
    leftovers = {"SWIFT_OFFLINE": "1", "HF_HOME": "/x", "RANK": "3", "NPROC_PER_NODE": "2", "FORCE_COLOR": "1"}
    given = {"PIP_INDEX_URL": "https://mirror", "SSL_CERT_FILE": "/cert", "HTTPS_PROXY": "p", "SWIFT_TEST_MODEL": "/m"}
    env = begun(tmp_path, **leftovers, **given)["env"]
    assert not leftovers.keys() & env.keys()
    assert {name: env[name] for name in given} == given
    outer = tmp_path / "home"
    assert env["PIP_CONFIG_FILE"] == str(outer / ".config/pip/pip.conf")
    assert env["PIP_CACHE_DIR"] == str(outer / ".cache/pip")
    for name in ("HOME", "SWIFT_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        assert not env[name].startswith(str(outer))
    assert env["SWIFT_TEST_CACHE"] == str(tmp_path / "checkout/.cache/tests")


def test_another_process_of_the_session_has_the_same_home_and_only_its_maker_removes_it(tmp_path):
    found = begun(tmp_path)
    assert (found["same"], found["theirs"]) == (True, False)


def test_a_lane_sees_the_environments_that_the_developer_made(tmp_path):
    assert begun(tmp_path)["seen"] == ["vllm-1"]
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "envs/openvino-1").mkdir(parents=True)
    assert begun(tmp_path / "second", SWIFT_HOME=str(elsewhere))["seen"] == ["openvino-1"]
