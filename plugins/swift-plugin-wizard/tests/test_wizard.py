"""The wizard: with flags alone, and in a terminal in both languages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from swift_plugin_wizard.texts import _TEXTS, language_of_locale
from swift_plugin_wizard.writing import command_of, options_of

from tests.here import swift_here

CHAT = '{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}\n'


def answers(model: Path, output: str) -> list[str]:
    """Flags that answer every question, on `rows.jsonl`, without a start."""
    goal = ("--goal", "answer", "--model", str(model), "--data", "rows.jsonl", "--time", "minutes")
    return [*goal, "--output", output, "--no-start"]


def test_flags_answer_every_question(tmp_path, tiny_model):
    (tmp_path / "rows.jsonl").write_text(CHAT)
    words = answers(tiny_model, "sft.yaml")
    code, out, _ = swift_here(tmp_path, "wizard", *words)
    assert code == 0
    written = yaml.safe_load((tmp_path / "sft.yaml").read_text())
    assert written["run"] == "sft"
    assert written["dataset"] == "rows.jsonl"
    assert written["max_steps"] >= 5
    assert "swift sft --model" in out
    assert "peak" in out
    again, _, err = swift_here(tmp_path, "wizard", *words)
    assert again == 2
    assert "WIZARD-004" in err


def test_without_a_terminal_the_flags_are_named(tmp_path):
    code, _, err = swift_here(tmp_path, "wizard")
    assert code == 2
    assert "--goal" in err
    assert "WIZARD-001" in err


def test_data_that_can_not_be_used(tmp_path, tiny_model):
    (tmp_path / "rows.jsonl").write_text('{"x": 1}\n')
    code, _, err = swift_here(tmp_path, "wizard", *answers(tiny_model, "a.yaml"))
    assert code == 2
    assert "WIZARD-003" in err


def test_the_language_is_that_of_the_locale(monkeypatch):
    monkeypatch.delenv("LC_ALL", raising=False)
    monkeypatch.delenv("LC_MESSAGES", raising=False)
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert language_of_locale() == "zh"
    monkeypatch.setenv("LANG", "en_GB.UTF-8")
    assert language_of_locale() == "en"
    assert all(len(pair) == 2 and all(pair) for pair in _TEXTS.values())


def test_the_command_line_is_the_file():
    from swift_plugin_wizard.goals import Answers, goal_named

    options = options_of(Answers(goal_named("classify"), "m", "rows.jsonl", "hour", labels=3))
    assert options["num_labels"] == 3
    assert "--num-labels 3" in command_of(options)


@pytest.mark.parametrize(("language", "question", "start"), [("en", "What do you want", "Start now"), ("zh", "您想做什么", "现在开始吗")])
def test_in_a_terminal(tmp_path, tiny_model, language, question, start):
    pexpect = pytest.importorskip("pexpect")
    (tmp_path / "rows.jsonl").write_text(CHAT)
    (tmp_path / "model").symlink_to(tiny_model)
    child = pexpect.spawn(
        sys.executable, ["-P", "-m", "swift_core.cli", "wizard", "--language", language], cwd=str(tmp_path), encoding="utf-8", timeout=120,
        dimensions=(40, 160), env={**os.environ, "TERM": "xterm"},
    )  # fmt: skip
    child.expect(question)
    child.send("\r")
    child.expect("model")
    child.send("\r")
    child.expect("jsonl|数据|data")
    child.send("\x15rows.jsonl\r")
    child.expect("1")
    child.expect("⟦[^⟧]*Hello")
    child.expect("minutes|几分钟")
    child.send("\r")
    child.expect("sft.yaml")
    child.send("\r")
    child.expect(start)
    child.send("n")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0, child.before
    assert yaml.safe_load((tmp_path / "sft.yaml").read_text())["dataset"] == "rows.jsonl"


def test_swift_alone_is_the_wizard_and_ctrl_c_ends_it(tmp_path):
    pexpect = pytest.importorskip("pexpect")
    started = "from swift_core.start import main; main()"
    child = pexpect.spawn(sys.executable, ["-P", "-c", started], cwd=str(tmp_path), encoding="utf-8", timeout=120)
    child.expect("What do you want|您想做什么")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130


@pytest.mark.parametrize(("locale", "said"), [("en_GB.UTF-8", "The same as a command"), ("zh_CN.UTF-8", "等价的命令")])
def test_the_script_starts_the_wizard_of_the_environment(tmp_path, tiny_model, locale, said):
    """Without `swift` on the path, it is that of the environment; Python that is too old, or none, is an error before anything is made."""
    (tmp_path / "rows.jsonl").write_text(CHAT)
    root = Path(__file__).parents[3]
    script = ["/bin/sh", str(root / "scripts" / "yichuidingyin.sh")]
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("dirname", "env"):
        (tools / name).symlink_to(shutil.which(name))
    bare = {"PATH": str(tools), "LC_ALL": locale, "HOME": os.environ["HOME"]}
    environment = tmp_path / "environment" / "bin"
    environment.mkdir(parents=True)
    (environment / "swift").write_text(f'#!/bin/sh\nexec {sys.executable} -P -m swift_core.cli "$@"\n')
    (environment / "swift").chmod(0o755)
    words = [*script, *answers(tiny_model, "sft.yaml")]
    done = subprocess.run(words, cwd=tmp_path, env={**bare, "VENV": str(environment.parent)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
    without = subprocess.run(
        words, cwd=tmp_path, env={**bare, "VENV": str(tmp_path / "absent")}, capture_output=True, text=True, check=False
    )
    assert without.returncode == 2
    assert "3.11" in without.stderr
