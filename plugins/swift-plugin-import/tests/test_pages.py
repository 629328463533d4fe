"""The how-to pages: the example of each is imported by the page's own command and resolves, and its table has known names."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from swift_plugin_import.table import table
from swift_plugin_import.translation import Translation
from swift_plugin_import.vocabulary import Vocabulary

from tests.here import swift_here

HOW_TO = Path(__file__).parents[3] / "docs" / "how-to"
ROWS = {
    "alpaca_en_demo#500": {"instruction": "What is 6 x 7?", "output": "42"},
    "data/chats.jsonl": {"conversation": [{"role": "user", "content": "6 x 7?"}, {"role": "bot", "content": "42"}]},
}


@pytest.mark.parametrize("tool", ["llama-factory", "axolotl", "trl"])
def test_the_example_is_imported_and_resolves(tool, tmp_path, tiny_model):
    page = (HOW_TO / f"from-{tool}.md").read_text()
    name = re.search(r"With this `(.*?)`:", page)[1]
    (tmp_path / name).write_text(re.search(r"```yaml\n(.*?)```", page, re.DOTALL)[1])
    commands = [line.split()[1:] for line in re.findall(r"^    (swift .*)$", page, re.MULTILINE)]
    assert [command[0] for command in commands] == ["import", "sft", "sft"]
    code, _, error = swift_here(tmp_path, *commands[0])
    assert code == 0, error
    values = yaml.safe_load((tmp_path / "sft.yaml").read_text())
    (dataset,) = values["dataset"]
    row = ROWS[dataset if isinstance(dataset, str) else dataset["name"]]
    if tool == "trl":
        row = {"query": "6 x 7?", "response": "42"}
    (tmp_path / "data").mkdir()
    (tmp_path / "data/chats.jsonl").write_text((json.dumps(row) + "\n") * 100)
    shutil.copytree(tiny_model, tmp_path / "tiny")
    words = ["--model", "tiny", *(["--dataset", "data/chats.jsonl"] if tool == "llama-factory" else [])]
    code, printed, error = swift_here(tmp_path, *commands[1], *words)
    assert code == 0, error
    assert json.loads(printed)["verb"] == "sft"


@pytest.mark.parametrize("tool", ["llama-factory", "axolotl", "trl"])
def test_the_table_has_names_of_the_tool(tool):
    """Each name of the first column is in the tool's table, read by its importer, or a name of an option."""
    names = table(tool)
    source = (Path(__file__).parents[1] / "src/swift_plugin_import").rglob("*.py")
    code = "".join(path.read_text() for path in source)
    rows = re.findall(r"^\| (.*?) \|", (HOW_TO / f"from-{tool}.md").read_text(), re.MULTILINE)[2:]
    shown = [name for row in rows for name in re.findall(r"`([a-z_0-9]+)`", row)]
    assert len(shown) > 35
    words = [Vocabulary(Translation("", verb)) for verb in ("dpo", "grpo")]
    assert not [
        name
        for name in shown
        if name not in names.options and not re.search(rf"\b{name}\b", code) and not any(each.path(name) for each in words)
    ]
