"""Third parties' verbs by name: two of one name, names of ours, names of commands, and plugins that are broken or left out."""

from __future__ import annotations

import json

import pytest

VERB = """
from swift_core import hookimpl
from swift_core.contract import Ref, VerbSpec

@hookimpl
def swift_verbs():
    return [VerbSpec(name="{name}", summary="Theirs", options=Ref("swift_core.options.common:RunOptions"), job=Ref("{module}:job"))]

def job(run, report):
    return None, {{"by": "{module}"}}
"""
TASK = """
from swift_core import hookimpl
from swift_core.contract import Ref, TaskSpec

@hookimpl
def swift_tasks():
    trainer, options = Ref("swift_train.job:train"), Ref("swift_train.options:SftOptions")
    return [TaskSpec(name="{name}", summary="Theirs", rows=("chat",), factory=Ref("x:Y"), options=options, trainer=trainer)]
"""
COMMAND = "import click\n\n\n@click.command()\ndef command():\n    'Dance.'\n    click.echo(__name__)\n"


@pytest.fixture
def offer(swift, distribution, tmp_path):
    """Install a distribution with a verb, which its metadata names too."""

    def install(home: str, name: str, source: str = VERB) -> None:
        module = home.replace("-", "_")
        distribution(home, source.format(name=name, module=module))
        with (tmp_path / "site" / f"{module}-1.0.dist-info" / "entry_points.txt").open("a") as points:
            points.write(f"[swift.verbs]\n{name} = {module}\n")

    return install


@pytest.mark.parametrize("source", [VERB, TASK], ids=["verb", "task"])
def test_a_name_that_two_have_is_an_error_until_one_is_named(swift, offer, source):
    for home in ("swift-plugin-acme", "swift-plugin-bolt"):
        offer(home, "polish", source)
    assert swift("--help").out.count("polish") == 2  # in its own line, and in what is to be written
    assert "; write DISTRIBUTION/polish" in swift("--help").out
    (swift.folder / "polish.yaml").write_text("run: polish\n")
    for words in (("polish",), ("run", "polish.yaml"), ("schema", "polish")):
        outcome = swift(*words)
        assert outcome.code == 2
        assert "two plugins offer the verb 'polish': swift-plugin-acme and swift-plugin-bolt" in outcome.err
        assert "swift swift-plugin-acme/polish or swift swift-plugin-bolt/polish" in outcome.err
    kind = "task" if source == TASK else "verb"
    assert f"the {kind} polish is offered by swift-plugin-acme and swift-plugin-bolt" in swift("plugins").out


def test_the_one_that_is_named_is_carried_out(swift, offer):
    for home in ("swift-plugin-acme", "swift-plugin-bolt"):
        offer(home, "polish")
    assert json.loads(swift("swift-plugin-bolt/polish", "--json").out)["figures"] == {"by": "swift_plugin_bolt"}
    (swift.folder / "polish.yaml").write_text("run: acme/polish\n")
    assert json.loads(swift("run", "polish.yaml", "--json").out)["figures"] == {"by": "swift_plugin_acme"}
    (swift.folder / "recipe.yaml").write_text("steps:\n- {run: swift-plugin-acme/polish}\n- {run: bolt/polish}\n")
    outcome = swift("run", "recipe.yaml")
    assert outcome.code == 0, outcome.err
    found = [json.loads(path.read_text()) for path in sorted(swift.folder.glob("runs/*/*/result.json"))]
    assert [result["figures"]["by"] for result in found] == ["swift_plugin_acme", "swift_plugin_bolt"]


def test_a_task_that_is_named_is_the_one_that_is_trained(swift, offer, tiny_model):
    for home in ("swift-plugin-acme", "swift-plugin-bolt"):
        offer(home, "polish", TASK)
    row = {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]}
    (swift.folder / "rows.jsonl").write_text(json.dumps(row))
    words = ("--model", str(tiny_model), "--dataset", "rows.jsonl", "--device", "cpu", "--dry-run")
    for verb in (("bolt/polish",), ("train", "--task", "bolt/polish")):
        outcome = swift(*verb, *words)
        assert outcome.code == 0, outcome.err
        assert json.loads(outcome.out)["parts"]["task"]["distribution"] == "swift-plugin-bolt"


def test_names_of_ours_stay_ours(swift, offer):
    for name in ("serve", "chat", "data"):  # a verb, an alias, a command
        offer(f"swift-plugin-my-{name}", name)
    offer("swift-plugin-my-sft", "sft", TASK)
    for name in ("serve", "chat", "data", "sft"):
        outcome = swift(name, "--help")
        assert outcome.code == 0, outcome.err
        assert "Theirs" not in outcome.out, name
    assert "Theirs" in swift("swift-plugin-my-serve/serve", "--help").out
    assert "From swift-plugin" not in swift("--help").out
    assert "the verb serve is offered by swift-serve and swift-plugin-my-serve: swift-serve is used" in swift("plugins").out


def test_a_plugin_that_is_named_as_one_of_ours_does_not_replace_it(swift, offer):
    offer("swift-plugin-serve", "polish")
    assert swift("serve", "--help").code == 0
    assert "the plugin name 'serve' is taken by swift-serve" in swift("polish").err


def test_a_verb_and_a_command_of_one_name(swift, offer, distribution):
    offer("swift-plugin-acme", "polish")
    distribution("swift-plugin-bolt", COMMAND, entry="polish", group="swift.commands", target="swift_plugin_bolt:command")
    outcome = swift("polish")
    assert outcome.code == 2
    assert "two plugins offer the command 'polish': swift-plugin-acme and swift-plugin-bolt" in outcome.err
    assert "Theirs" in swift("swift-plugin-acme/polish", "--help").out
    assert swift("swift-plugin-bolt/polish").out == "swift_plugin_bolt\n"
    assert "the command polish is offered by swift-plugin-bolt and swift-plugin-acme: select one" in swift("plugins").out


def test_a_verb_of_a_plugin_that_is_broken_or_left_out(swift, offer):
    offer("swift-plugin-acme", "polish", VERB + "\n1 / 0\n")
    offer("swift-plugin-bolt", "sand", "from swift_core import hookimpl\n\n@hookimpl\ndef swift_hubs():\n    return []\n")
    (swift.folder / "polish.yaml").write_text("run: polish\n")
    for words in (("polish",), ("run", "polish.yaml"), ("schema", "polish")):
        outcome = swift(*words)
        assert outcome.code == 2
        assert "swift-plugin-acme 1.0, which is installed but broken: ZeroDivisionError: division by zero" in outcome.err
    assert "'sand' is an entry point of swift-plugin-bolt 1.0, but its hooks do not offer it" in swift("sand").err
    swift.env["SWIFT_BLOCK_PLUGINS"] = "acme"
    assert "'polish' comes with swift-plugin-acme 1.0, which is not loaded" in swift("polish").err
    assert "polish" not in swift("--help").out


def test_a_local_file_that_is_broken_is_named(swift):
    (swift.folder / "mine.py").write_text("from swift_core import hookimpl\n1 / 0\n")
    outcome = swift("--plugin", "mine.py", "polish")
    assert outcome.code == 2
    assert "mine.py: the plugin can't be loaded: ZeroDivisionError: division by zero, line 2" in outcome.err


def test_verbs_and_their_options_are_completed(swift, offer):
    offer("swift-plugin-acme", "polish")
    swift.env |= {"_SWIFT_COMPLETE": "bash_complete", "COMP_WORDS": "swift pol", "COMP_CWORD": "1"}
    assert "plain,polish\n" in swift().out
    swift.env |= {"COMP_WORDS": "swift polish --ru", "COMP_CWORD": "2"}
    assert swift().out == "plain,--runs\n"


def test_a_file_of_another_verb_is_refused(swift):
    (swift.folder / "sft.yaml").write_text("model: x\nrun: sft\ndataset: [y]\n")
    outcome = swift("pretrain", "sft.yaml")
    assert outcome.code == 2
    assert "sft.yaml:2: run: the file is for sft, not for pretrain" in outcome.err


def test_an_unknown_task_is_named_before_its_options(swift):
    outcome = swift("train", "--task", "sfd", "--max-steps", "1")
    assert outcome.code == 2
    assert "--task: there is no task 'sfd'" in outcome.err
