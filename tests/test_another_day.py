"""A template that writes the date, by the command line: the same command on another day, and a run that goes on then."""

from __future__ import annotations

import json
import shutil
from datetime import date, timedelta
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

DATED = (
    "{{ '<|im_start|>system\nToday is ' + strftime_now('%d %b %Y') + '.<|im_end|>\n' }}"
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
ANOTHER_DAY = """
import datetime, os

_later = datetime.timedelta(days=int(os.environ.get("DAYS", "0")))

class _Date(datetime.date):
    @classmethod
    def today(cls):
        return datetime.datetime.now().date()

class _Now(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + _later

datetime.date, datetime.datetime = _Date, _Now
"""


def test_a_run_and_its_resume_on_another_day(cold, swift, tiny_model, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    (model / "chat_template.jinja").write_text(DATED)
    turns = [{"role": "user", "content": "Say <|im_end|>!"}, {"role": "assistant", "content": "No.", "weight": 1}]
    rows = [{"messages": [{**turns[0], "content": f"{turns[0]['content']} {n}"}, turns[1]], "inputs": "x", "id": n} for n in range(4)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "sitecustomize.py").write_text(ANOTHER_DAY)
    swift.paths.append(str(tmp_path / "later"))
    swift.env["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    words = ["sft", "--model", "model", "--dataset", "rows.jsonl", "--max-steps", "4", "--batch-size", "1", "--device", "cpu"]
    words += ["--save-steps", "2", "--dtype", "float32"]

    def run(days: int, *more: str) -> tuple[dict, dict[int, float], str, Path]:
        swift.env["DAYS"] = str(days)
        before = set((tmp_path / "runs").glob("*-sft-*"))
        ended = swift(*words, *more)
        assert ended.code == 0, ended.err
        (folder,) = set((tmp_path / "runs").glob("*-sft-*")) - before
        steps = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
        losses = {step["step"]: step["loss"] for step in steps if "loss" in step}
        return json.loads((folder / "run.json").read_text()), losses, ended.err, folder

    first, losses, said, folder = run(0)
    assert first["date"] == date.today().isoformat()
    for text in (
        "'inputs' in 100% of the rows (Did you mean 'input'?)",
        "metadata: 'id'",
        "'<|im_end|>' in 100%",
        f"it is {first['date']}",
    ):
        assert text in said
    resumed, again, _, _ = run(1, "--resume", str(folder / "checkpoints" / "step-000002"))
    assert resumed["date"] == first["date"]
    assert again == {step: loss for step, loss in losses.items() if step > 2}
    other, new, _, _ = run(1)
    assert other["date"] == (date.fromisoformat(first["date"]) + timedelta(days=1)).isoformat()
    assert new != losses
