"""A plugin that is one file: named at the command line or in YAML, loaded by every process of the run, and never by chance."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.slow

POEMS = """
from pathlib import Path

from swift_core import hookimpl
from swift_core.options.model import Options, option
from swift_core.contract.roles import RawRow
from swift_core.contract.specs import DatasetSpec, Ref


class PoemOptions(Options):
    count: int = option(3, "How many poems.", ge=1)


class Poems:
    def __init__(self, options):
        self.count = options.count

    def fetch(self, progress=None):
        return (Path(__file__),)

    def rows(self):
        for number in range(1, self.count + 1):
            yield RawRow({"text": f"Poem {number}"}, "poems", number)


@hookimpl
def swift_datasets():
    return [
        DatasetSpec(
            name="poems", summary="Poems", rows=("text",), factory=Ref("my_plugin:Poems"), options=Ref("my_plugin:PoemOptions")
        )
    ]
"""
YAML = "run: pretrain\nplugins: [./my_plugin.py]\nmodel: {model}\ndataset: [poems]\nmax_steps: 1\ndevice: cpu\n"
RECIPE = "plugins: [my_plugin.py]\nsteps:\n  - {{id: a, run: pretrain, model: {model}, dataset: [poems], max_steps: 1, device: cpu}}\n"


@pytest.fixture
def poems(swift):
    (swift.folder / "my_plugin.py").write_text(POEMS)
    return swift


def test_it_is_shown_as_a_local_file(poems):
    shown = poems("--plugin", "my_plugin.py", "plugins").out
    assert f"local file {poems.folder / 'my_plugin.py'}" in shown
    assert "dataset poems" in shown


def test_it_is_never_loaded_unless_it_is_named(poems):
    assert "my_plugin" not in poems("plugins").out
    assert "there is no dataset or file 'poems'" in poems("data", "check", "poems").err


def test_its_options_are_flags(poems):
    assert "--dataset.poems.count" in poems("--plugin", "my_plugin.py", "pretrain", "--dataset", "poems", "--help").out


def test_a_worker_loads_it_and_the_run_says_so(poems, tiny_model):
    words = ("--model", str(tiny_model), "--dataset", "poems", "--count", "5", "--max-steps", "1", "--device", "cpu", "--json")
    outcome = poems("--plugin", "./my_plugin.py", "pretrain", *words)
    assert outcome.code == 0, outcome.err
    run = json.loads((poems.folder / json.loads(outcome.out)["folder"] / "run.json").read_text())
    assert run["plugins"] == [str(poems.folder / "my_plugin.py")]
    assert run["datasets"][0]["distribution"] == f"local file {poems.folder / 'my_plugin.py'}"


@pytest.mark.parametrize("text", [YAML, RECIPE])
def test_yaml_names_it(text, poems, tiny_model):
    (poems.folder / "it.yaml").write_text(text.format(model=tiny_model))
    outcome = poems("run", "it.yaml")
    assert outcome.code == 0, outcome.err


def test_another_state_of_the_file_is_another_run(poems, tiny_model):
    words = (
        "--plugin",
        "my_plugin.py",
        "pretrain",
        "--model",
        str(tiny_model),
        "--dataset",
        "poems",
        "--device",
        "cpu",
        "--dry-run",
        "--json",
    )
    before = json.loads(poems(*words).out)["datasets"][0]["version"]
    (poems.folder / "my_plugin.py").write_text(POEMS.replace("Poem {number}", "Verse {number}"))
    assert json.loads(poems(*words).out)["datasets"][0]["version"] != before


BAD = {
    "missing": ("my_plugi.py", "", "--plugin: there is no file 'my_plugi.py' [SWIFT-PLUGIN-018]\n  Did you mean 'my_plugin.py'?"),
    "no Python file": ("my-plugin.txt", POEMS, "'my-plugin.txt' can't be imported as a Python module"),
    "a colon": ("a:b/bad.py", POEMS, "bad.py' contains ':'"),
    "fails": ("bad.py", "x = 1\n1 / 0", "bad.py: the plugin can't be loaded: ZeroDivisionError: division by zero, line 2"),
    "syntax": ("bad.py", "def (", "the plugin can't be loaded: SyntaxError: invalid syntax (bad.py, line 1)"),
    "no hooks": ("bad.py", "x = 1", "the plugin can't be loaded: it answers no hook; mark its functions with @hookimpl"),
    "the name of a module": ("sub/json.py", POEMS, "another module is named 'json': rename the file"),
    "the name of a plugin": ("peft.py", POEMS, "the plugin name 'peft' is taken by swift-plugin-peft"),
    "isolated": (
        "bad.py",
        "from swift_core import hookimpl\nfrom swift_core.contract.specs import HubSpec, Ref\n@hookimpl\ndef swift_hubs():\n"
        "    return [HubSpec(name='x', summary='x', schemes=('x',), factory=Ref('bad:X'), isolated=True)]",
        "a local file can't be installed into an environment: package it",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_with_it_is_said(case, poems):
    name, source, message = BAD[case]
    if source:
        (poems.folder / name).parent.mkdir(exist_ok=True)
        (poems.folder / name).write_text(source)
    outcome = poems("--plugin", name, "plugins")
    assert outcome.code == 2
    assert message in outcome.err


def test_what_is_wrong_in_yaml_is_said_with_its_line(poems):
    (poems.folder / "it.yaml").write_text("run: pretrain\nplugins: my_plugin.py\n")
    assert "it.yaml:2: plugins: must be a list of Python files" in poems("run", "it.yaml").err


def test_trace_shows_each_call_with_its_time(poems):
    for words in (("--trace", "plugins"), ("plugins", "--trace"), ("plugins", "--trace", "show", "core")):
        lines = [line.split() for line in poems(*words).err.splitlines() if line.startswith("trace:")]
        assert ["import", "peft"] in [line[1:3] for line in lines]
        assert ["swift_tuners", "peft"] in [line[1:3] for line in lines]
        assert all(float(line[3]) >= 0 and line[4] == "ms" for line in lines)
    assert "trace:" not in poems("plugins").err
