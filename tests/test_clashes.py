"""Names that two plugins have: what is ours stays ours, the rest is asked, all are shown; and commands inside the same net."""

from __future__ import annotations

import json

import pytest

TUNERS = """
from swift_core import hookimpl
from swift_core.contract.specs import DatasetSpec, HubSpec, Ref, TunerSpec

@hookimpl
def swift_tuners():
    return [TunerSpec(name="lora", summary="Theirs", factory=Ref("x:Y"), trains="adapter"),
            TunerSpec(name="odd", summary="Theirs", factory=Ref("x:Y"), trains="adapter")]

@hookimpl
def swift_hubs():
    return [HubSpec(name="aaa", summary="Theirs", schemes=("hf", "file"), factory=Ref("x:Y"))]

@hookimpl
def swift_datasets():
    return [DatasetSpec(name="zzz", summary="Theirs", suffixes=(".jsonl",), factory=Ref("x:Y"))]
"""
COMMAND = "import click\n\n\n@click.command()\ndef command():\n    'Dance.'\n    click.echo(__name__)\n"


@pytest.fixture
def strangers(swift, distribution, tiny_model):
    distribution("swift-plugin-acme", TUNERS)
    distribution("swift-plugin-bolt", TUNERS)
    (swift.folder / "rows.jsonl").write_text(
        json.dumps({"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]})
    )
    words = ("sft", "--model", str(tiny_model), "--dataset", "rows.jsonl", "--device", "cpu", "--dry-run")

    def sft(*more):
        return swift(*words, *more)

    return sft


def test_a_default_stays_with_the_plugin_that_owns_it(strangers):
    outcome = strangers()
    assert outcome.code == 0, outcome.err
    run = json.loads(outcome.out)
    assert run["parts"]["tuner"]["distribution"] == "swift-plugin-peft"
    assert run["datasets"][0]["name"] == "file"  # though another says that it reads .jsonl
    assert run["job"] == "swift_train.job:train"


def test_a_name_that_two_have_is_an_error_until_one_is_named(strangers):
    outcome = strangers("--tuner", "lora")
    assert outcome.code == 2
    assert "--tuner: two plugins offer the tuner 'lora': swift-plugin-acme and swift-plugin-bolt and swift-plugin-peft" in outcome.err
    assert "--tuner swift-plugin-peft/lora" in outcome.err
    outcome = strangers("--tuner", "swift-plugin-peft/lora", "--tuner.rank", "3")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["parts"]["tuner"]["options"]["rank"] == 3
    assert json.loads(strangers("--tuner", "bolt/lora").out)["parts"]["tuner"]["distribution"] == "swift-plugin-bolt"
    assert "no tuner 'lora' offered by 'nobody'" in strangers("--tuner", "nobody/lora").err
    assert "swift-plugin-acme/odd or --tuner swift-plugin-bolt/odd" in strangers("--tuner", "odd").err


def test_plugins_shows_every_clash(strangers, swift, distribution):
    distribution("swift-plugin-dance", COMMAND, group="swift.commands", target="swift_plugin_dance:command")
    distribution("swift-plugin-waltz", COMMAND, entry="dance", group="swift.commands", target="swift_plugin_waltz:command")
    distribution("swift-plugin-chat", COMMAND, group="swift.commands", target="swift_plugin_chat:command")
    shown = swift("plugins").out
    for text in (
        "the tuner lora is offered by swift-plugin-peft and swift-plugin-acme and swift-plugin-bolt: defaults use swift-plugin-peft",
        "the tuner odd is offered by swift-plugin-acme and swift-plugin-bolt: select one with DISTRIBUTION/odd",
        "the scheme hf: is offered by swift-plugin-hubs and swift-plugin-acme and swift-plugin-bolt: swift-plugin-hubs is used",
        "the suffix .jsonl is offered by swift-plugin-datasets and",
        "the command dance is offered by swift-plugin-dance and swift-plugin-waltz: select one with DISTRIBUTION/dance",
        "the command chat is offered by swift-serve and swift-plugin-chat: swift-serve is used",
    ):
        assert f"clash: {text}" in shown
    records = {record["distribution"]: record for record in json.loads(swift("plugins", "--json").out)}
    assert len(records["swift-plugin-acme"]["clashes"]) == 7  # lora, odd, aaa, hf:, file:, zzz, .jsonl
    assert not records["swift-plugin-fsdp"]["clashes"]
    outcome = swift("dance")
    assert outcome.code == 2
    assert "Select one: swift swift-plugin-dance/dance or swift swift-plugin-waltz/dance." in outcome.err
    assert swift("swift-plugin-waltz/dance").out == "swift_plugin_waltz\n"
    assert "Chat with a checkpoint" in swift("chat", "--help").out


BROKEN = {
    "raises at import": ("x = 1\nraise RuntimeError('no')\n", "RuntimeError: no (", "line 2)"),
    "ends the process": ("import sys\nsys.exit(3)\n", "SystemExit: 3", "line 2)"),
    "needs what is not there": ("import not_installed_here\n", "No module named 'not_installed_here' (", "line 1)"),
    "is no command": ("command = 7\n", "is no click command, but a int", ""),
    "has another name": ("x = 1\n", "AttributeError", ""),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_command_is_named_and_nothing_else_is_disturbed(case, swift, distribution):
    source, reason, place = BROKEN[case]
    distribution("swift-plugin-dance", source, group="swift.commands", target="swift_plugin_dance:command")
    assert "From swift-plugin-dance" in swift("--help").out
    outcome = swift("dance", "--now")
    assert outcome.code == 2
    assert "the command 'dance' of swift-plugin-dance 1.0 can't be loaded: " in outcome.err
    assert reason in outcome.err
    assert place in outcome.err
    distribution("swift-plugin-loud", "print('Welcome!')\n" + COMMAND, group="swift.commands", target="swift_plugin_loud:command")
    (record,) = json.loads(swift("plugins", "dance", "--json").out)
    assert reason in record["failure"]
    assert record["trace"]
    assert "BROKEN: the command 'dance'" in swift("plugins").out


def test_what_a_command_did_not_foresee_is_a_sentence(swift, distribution):
    source = "import click\n\n\n@click.command()\n@click.argument('n')\ndef command(n):\n    'Dance.'\n    click.echo(1 / int(n))\n"
    distribution("swift-plugin-dance", source, entry="my_dance", group="swift.commands", target="swift_plugin_dance:command")
    assert swift("my-dance", "2").out == swift("my_dance", "2").out == "0.5\n"
    outcome = swift("my-dance", "0")
    assert outcome.code == 1
    assert "the command 'my-dance' failed: ZeroDivisionError: division by zero (" in outcome.err
    assert "swift_plugin_dance.py, line 8)" in outcome.err
    assert swift("my-dance", "--odd").code == 2
    swift.env["SWIFT_BLOCK_PLUGINS"] = "my_dance"
    assert "there is no command 'my-dance'" in swift("my-dance", "2").err


def test_a_local_file_has_commands_too(swift):
    (swift.folder / "mine.py").write_text("import click\nSWIFT_COMMANDS = {'dance': 'mine:command'}\n\n\n" + COMMAND)
    assert "From local file" in swift("--plugin", "mine.py", "--help").out
    assert swift("--plugin", "mine.py", "dance").out == "mine\n"
    assert "dance" in swift("--plugin", "mine.py", "plugins", "mine").out
    assert "there is no command 'dance'" in swift("dance").err
    (swift.folder / "mine.py").write_text("x = 1\n1 / 0\n")
    outcome = swift("--plugin", "mine.py", "dance")
    assert outcome.code == 2
    assert "mine.py: the plugin can't be loaded: ZeroDivisionError: division by zero, line 2" in outcome.err
