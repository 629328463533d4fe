"""The local plugins of docs/examples: a verb, a task, an evaluator and a checkpoint format, each used in every way there is."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from swift_testing.fake_engine import FakeEngine

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"
ROWS = [{"messages": [{"role": "user", "content": f"{n} + 1?"}, {"role": "assistant", "content": str(n + 1)}]} for n in range(4)]
FILES = {"count_verb": "count", "task_plugin": "focal", "evaluator_plugin": "eval", "format_plugin": "norms"}  # file: verb
PYTHON = "import json, sys, swift_core; swift_core.use_plugins(sys.argv[1]); print(json.dumps({call}.figures))"
slow_if_trained = [pytest.param(name, marks=pytest.mark.slow) if name == "task_plugin" else name for name in FILES]


@pytest.fixture
def engine():
    with FakeEngine("It is 5.") as fake:
        yield fake


@pytest.fixture
def options(request, swift, tiny_model) -> dict[str, Any]:
    """The options of the verb that the file's example is about."""
    name = request.getfixturevalue("name")
    if name == "count_verb":
        return {"model": str(tiny_model), "digits": 2}
    if name == "task_plugin":
        (swift.folder / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in ROWS))
        return {"model": str(tiny_model), "dataset": ["rows.jsonl"], "max_steps": 1, "device": "cpu", "gamma": 3}
    if name == "evaluator_plugin":
        engine = request.getfixturevalue("engine")
        return {"url": engine.url, "evaluator": "sums", "tasks": ["2"], "questions": 9}
    import numpy as np

    folder = swift.folder / "linear"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "linear"}')
    np.savez(folder / "weights.npz", weight=np.ones((2, 2)))
    return {"model": str(folder)}


@pytest.mark.parametrize("name", FILES)
def test_it_has_at_most_40_lines_and_is_shown_in_the_reference(name):
    text = (EXAMPLES / f"{name}.py").read_text()
    assert len(text.splitlines()) <= 40
    assert any(text.strip() in page.read_text() for page in (EXAMPLES.parent / "reference" / "hooks").glob("*.md"))


def kept(figures: dict[str, Any]) -> dict[str, Any]:
    """Figures without those that are measured anew in every run."""
    found = {key: value for key, value in figures.items() if "second" not in key and "memory" not in key}
    assert found
    return found


@pytest.mark.parametrize("name", slow_if_trained)
def test_it_does_the_same_from_the_command_line_yaml_a_recipe_and_python(swift, name, options):
    file, verb = str(EXAMPLES / f"{name}.py"), FILES[name]
    words = [word for key, value in options.items() for word in (f"--{key.replace('_', '-')}", *map(str, _listed(value)))]
    outcome = swift("--plugin", file, verb, *words, "--json")
    assert outcome.code == 0, outcome.err
    found = [json.loads(outcome.out)["figures"]]
    (swift.folder / "one.yaml").write_text(json.dumps({"run": verb, "plugins": [file], **options}))
    outcome = swift("run", "one.yaml", "--json")
    assert outcome.code == 0, outcome.err
    found.append(json.loads(outcome.out)["figures"])
    command = [sys.executable, "-c", PYTHON.format(call=f"swift_core.{verb}(**json.loads(sys.argv[2]))"), file, json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=swift.folder)
    assert done.returncode == 0, done.stderr
    found.append(json.loads(done.stdout.splitlines()[-1]))
    steps = [{"run": verb, **options}, *([{"run": "train", "task": "focal", **options}] if name == "task_plugin" else [])]
    (swift.folder / "recipe.yaml").write_text(json.dumps({"plugins": [file], "steps": steps}))
    outcome = swift("run", "recipe.yaml", "--runs", "recipes")
    assert outcome.code == 0, outcome.err
    found += [json.loads(path.read_text())["figures"] for path in sorted(swift.folder.glob("recipes/*/*/result.json"))]
    assert len(found) == 3 + len(steps)
    assert all(kept(figures) == kept(found[0]) for figures in found)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize(("name", "kind", "part", "flag"), [
    ("count_verb", "verb", "count", "--digits"),
    ("task_plugin", "task", "focal", "--gamma"),
    ("evaluator_plugin", "evaluator", "sums", "--questions"),
    ("format_plugin", "format", "npz", "--family"),
])  # fmt: skip
def test_it_is_listed_and_documented(swift, name, kind, part, flag):
    file, verb = str(EXAMPLES / f"{name}.py"), FILES[name]
    (record,) = json.loads(swift("--plugin", file, "plugins", name, "--json").out)
    assert (kind, part) in {(offer["kind"], offer["name"]) for offer in record["offers"]}
    assert verb in [line.split()[0].rstrip(",") for line in swift("--plugin", file, "--help").out.splitlines() if line.strip()]
    choose = ("--evaluator", "sums") if kind == "evaluator" else ()
    assert flag in swift("--plugin", file, verb, *choose, "--help").out
    if kind != "evaluator":  # its options are those of a part that has no default
        assert flag[2:] in json.loads(swift("--plugin", file, "schema", verb).out)["properties"]


@pytest.mark.parametrize("name", slow_if_trained)
def test_it_passes_the_conformance_checks(swift, name):
    shutil.copy(EXAMPLES / f"{name}.py", swift.folder)
    outcome = swift("plugins", "check", f"{name}.py", "--json")
    results = json.loads(outcome.out)
    assert not [f"{result['check']}: {result['reason']}" for result in results if result["outcome"] == "failed"]
    assert outcome.code == 0
    assert FILES[name] in {result["subject"] for result in results} | {"eval"}
