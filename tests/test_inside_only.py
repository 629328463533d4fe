"""Nothing leaves the machine: commands run in a network namespace that has only the loopback, and no packet looks for a route out of it.

The kernel counts, for the namespace alone, packets that found no route (`OutNoRoutes` of /proc/net/snmp and snmp6) and datagrams to ports
where nobody listens (`NoPorts`, a name server on the loopback). A command that only survives without a network has tried to use it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.here import swift_here

ROOT = Path(__file__).parent.parent
_COUNTERS = """
def attempts():
    found = {}
    names = values = None
    for line in open("/proc/net/snmp"):
        kind, _, rest = line.partition(":")
        if names is None or names[0] != kind:
            names = (kind, rest.split())
        else:
            found |= {f"{kind}.{name}": int(value) for name, value in zip(names[1], rest.split())}
            names = None
    found |= {name: int(value) for name, value in (line.split() for line in open("/proc/net/snmp6"))}
    return {name: found[name] for name in ("Ip.OutNoRoutes", "Ip6OutNoRoutes", "Udp.NoPorts", "Udp6NoPorts")}
"""
_STEPS = """
import json, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.here import swift_here
before = attempts()
for words in json.loads(sys.stdin.read()):
    code, out, err = swift_here(Path({folder!r}), *words)
    assert (code, "offline" in err) == ({code}, {code} == 2), (words, out, err)
print(json.dumps([before, attempts()]))
"""


def inside(*words: str) -> list[str]:
    """The command in a network namespace with the loopback alone."""
    user = [] if os.getuid() == 0 else ["-r"]
    return ["unshare", "-n", *user, "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *words]


def needs_a_namespace() -> None:
    if subprocess.run(inside("true"), check=False, capture_output=True).returncode:
        pytest.skip("a network namespace can't be made here: it takes unshare (util-linux), ip (iproute2) and the right to use them")


def run(folder: Path, *steps: list[str], code: int = 0) -> None:
    """Run commands of swift inside, and check that each ended with `code` and that none tried to get out."""
    needs_a_namespace()
    script = _COUNTERS + _STEPS.format(root=str(ROOT), folder=str(folder), code=code)
    done = subprocess.run(
        inside(sys.executable, "-c", script),
        input=json.dumps(steps),
        env={**os.environ, "SWIFT_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    before, after = json.loads(done.stdout.splitlines()[-1])
    assert after == before


@pytest.fixture
def rows(tmp_path):
    lines = [{"messages": [{"role": "user", "content": f"Say {n}."}, {"role": "assistant", "content": str(n)}]} for n in range(4)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "asked.jsonl").write_text('{"question": "Say 1.", "answer": "1"}\n{"question": "Say 2.", "answer": "2"}\n')
    return tmp_path


SFT = ["--dataset", "rows.jsonl", "--max-steps", "1", "--max-length", "64"]


def test_the_counters_see_an_attempt():
    needs_a_namespace()
    attempt = "import contextlib, socket\nwith contextlib.suppress(OSError):\n    socket.create_connection(('192.0.2.1', 80), 1)\n"
    script = f"{_COUNTERS}before = attempts()\n{attempt}assert attempts() != before"
    subprocess.run(inside(sys.executable, "-c", script), check=True)


def test_training_and_merging_stay_inside(rows, tiny_model):
    run(rows, ["sft", "--model", str(tiny_model), *SFT, "--output", "tuned"], ["merge", "tuned", "--output", "merged"])


ABSENT = (["fetch", "hf:org/name"], ["fetch", "pypi:llm-absent==1.0"], ["fetch", "ms:org/name"])


def test_what_is_not_in_the_cache_is_named_without_asking_for_it(tmp_path):
    run(tmp_path, *ABSENT, code=2)


@pytest.mark.full("offline")
def test_the_verbs_stay_inside(rows, smollm2):
    model = ["--model", str(smollm2)]
    assert swift_here(rows, "data", "check", "dpo_en_demo#4", "--task", "dpo")[0] == 0  # into the cache
    run(
        rows,
        ["sft", *model, *SFT, "--output", "tuned"],
        ["dpo", *model, "--dataset", "dpo_en_demo#4", "--max-steps", "1", "--max-length", "512", "--truncation", "left"],
        ["merge", "tuned", "--output", "merged"],
        ["sft", *model, *SFT, "--tuner", "qlora", "--output", "few-bits"],
        ["export", "merged", "--to", "gguf", "--output", "gguf"],
        ["ask", "merged", "--questions", "Who are you?", "--max-tokens", "4"],
        ["eval", "merged", "--evaluator", "own-data", "--tasks", "asked", "--data", '{"asked": "asked.jsonl"}', "--max-tokens", "4"],
        ["data", "check", "rows.jsonl", *model, "--pii"],
        ["card", "tuned", "--output", "card.md"],
        ["bom", "tuned", "--output", "bom.json"],
        ["audit", "verify", "--runs", "runs"],
    )


@pytest.mark.full("offline")
def test_data_sets_of_hubs_are_not_asked_for(tmp_path):
    run(tmp_path, ["data", "check", "hf:org/rows"], ["data", "check", "ms:org/rows"], code=2)


@pytest.mark.full("offline")
def test_the_quickstart_runs_from_a_bundle(tmp_path):
    needs_a_namespace()
    text = (ROOT / "contrib/recipes/quickstart.yaml").read_text()
    (tmp_path / "quickstart.yaml").write_text(text.replace("max_steps: 18", "max_steps: 2").replace("max_tokens: 48", "max_tokens: 8"))
    swift = [sys.executable, "-P", "-m", "swift_core.cli"]
    words = [*swift, "bundle", "create", "quickstart.yaml", "--split", "200MB"]
    made = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    bare = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path / "home")}
    python = Path(sys.executable).resolve()
    for command in ([python, "-I", "quickstart.pyz", "install", "here"], ["here/swift", "run", "recipe.yaml"]):
        done = subprocess.run(inside(*map(str, command)), cwd=tmp_path, env=bare, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "after" in done.stdout
