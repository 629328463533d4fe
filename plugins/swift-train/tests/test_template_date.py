"""Templates that write the date: found by a probe, fixed for a run, and the same however long it takes and when it is resumed."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from importlib.resources import files

import pytest
from swift_data.rows import ChatRow
from swift_train.chat_template import ChatTemplate
from swift_train.masks import ChatEncoder
from swift_train.options import MaskOptions
from swift_train.template_date import date_of, fix_date, frozen_date, renders_date, today
from swift_train.testing import ragged_chats, run_training, training_run, write_rows
from transformers import AutoTokenizer

from swift_core.checkpoints import Checkpoint
from swift_core.runs import read_events
from swift_core.system import output_path

CHAT = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
WITH_TOOLS = "{% if tools %}{{ strftime_now('%Y') }}{% endif %}" + CHAT
NOT_WRITTEN = "{% set day = strftime_now('%Y') %}" + CHAT
DATED = "{{ strftime_now('%d %b %Y') }}" + CHAT + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"


@pytest.fixture
def tokenizer(tiny_model):
    return AutoTokenizer.from_pretrained(tiny_model)


@pytest.mark.parametrize(
    ("template", "dated"), [(CHAT, False), (WITH_TOOLS, True), (NOT_WRITTEN, False), (DATED, True), ("gptoss", True), ("llama3_2", True),
                            ("llama3_1", False), ("qwen3", False)]
)  # fmt: skip
def test_a_probe_tells_whether_the_date_is_written(tokenizer, template, dated):
    own = "{" in template
    tokenizer.chat_template = template if own else (files("trl") / "chat_templates" / f"{template}.jinja").read_text(encoding="utf-8")
    assert renders_date(tokenizer) is dated


def test_a_fixed_date_is_that_of_every_rendering(tokenizer):
    tokenizer.chat_template = DATED
    row = ChatRow(({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}))
    assert date_of(tokenizer) == today()
    fix_date(tokenizer, "2026-05-09")
    (script,) = ChatEncoder(tokenizer, MaskOptions())(row)
    assert script.text.startswith("09 May 2026")
    with frozen_date("2031-01-01"):  # the day on which the run is still at work
        (again,) = ChatEncoder(tokenizer, MaskOptions())(row)
    assert again == script
    with frozen_date("2031-01-01"):
        assert "01 Jan 2031" in tokenizer.apply_chat_template(list(row.messages), tokenize=False), "a server has its own day"


def test_another_thread_has_another_date(tokenizer):
    """A stream is tokenised beside the training, which renders at other dates when it writes a checkpoint."""
    tokenizer.chat_template = DATED
    fix_date(tokenizer, "2026-05-09")
    template = ChatTemplate(tokenizer)
    asked = [{"role": "user", "content": "Hi"}]
    with frozen_date("1999-12-28"), ThreadPoolExecutor(1) as other:
        assert other.submit(tokenizer.apply_chat_template, asked, tokenize=False).result().startswith(f"{date.today():%d %b %Y}")
        assert other.submit(template.render, asked, None).result().startswith("09 May 2026")
        assert tokenizer.apply_chat_template(asked, tokenize=False).startswith("28 Dec 1999")


def test_a_run_that_goes_on_another_day(tiny_model, tmp_path):
    """It is exactly the run that was never stopped; a new run on another day has its own date, and tokens of its own."""
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    (model / "chat_template.jinja").write_text(DATED)
    rows = write_rows(tmp_path / "rows.jsonl", ragged_chats(6))

    def dated(day, **options):
        return replace(training_run(model, rows, max_steps=4, batch_size=2, **options), date=day)

    losses = [[step["loss"] for step in run_training(dated("2026-05-09"), tmp_path / "whole") if "loss" in step]]
    with frozen_date("2026-05-09"):
        begun = run_training(dated("2026-05-09"), tmp_path / "begun", stop_after=2)
    with frozen_date("2026-05-10"):
        rest = run_training(dated("2026-05-09", verb_options={"resume": str(tmp_path / "begun")}), tmp_path / "rest")
    losses.append([step["loss"] for step in (*begun, *rest) if "loss" in step])
    assert losses[0] == losses[1]
    assert any("it is 2026-05-09 in all rows" in event.get("text", "") for event in read_events(tmp_path / "rest"))
    manifest = Checkpoint.at(output_path(dated(""), tmp_path / "whole")).manifest
    assert (manifest.template["date"], manifest.golden[0]["varies"][0]) == ("2026-05-09", 0)
    run_training(dated("2026-05-10"), tmp_path / "next")
    shown = [json.loads((tmp_path / name / "mask_sample.json").read_text())["pieces"][0]["text"] for name in ("whole", "next")]
    assert [text[:11] for text in shown] == ["09 May 2026", "10 May 2026"]
