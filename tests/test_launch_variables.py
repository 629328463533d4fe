"""What other tools take from the environment of a launch line is honoured with a note, or named as having no effect."""

from __future__ import annotations

import json

import pytest
from swift_testing.codes import coded

from swift_core import UsageError
from swift_core.contract import Settings
from swift_core.plugins.registered import registry
from swift_core.plugins.verb_names import verb_named
from swift_core.runs import launch_variables


def applied(environment: dict[str, str], verb: str = "sft", **given) -> tuple[dict, list[str]]:
    settings = Settings(dict(given))
    notes = launch_variables.apply(verb_named(verb), settings, registry(), environment)
    return settings.values, notes


@pytest.mark.parametrize(
    ("environment", "given", "values", "notes"),
    [
        ({"NPROC_PER_NODE": "4"}, {}, {"processes": 4}, ["NPROC_PER_NODE=4: using --processes 4"]),
        ({"NPROC_PER_NODE": "1"}, {}, {}, []),
        ({"NPROC_PER_NODE": "4"}, {"processes": 2}, {"processes": 2}, ["NPROC_PER_NODE=4 has no effect: --processes 2 is given"]),
        ({"NPROC_PER_NODE": "2"}, {"processes": "2"}, {"processes": "2"}, []),
        (
            {"NPROC_PER_NODE": "2", "MASTER_PORT": "29501"},
            {},
            {"processes": 2},
            [
                "NPROC_PER_NODE=2: using --processes 2",
                "MASTER_PORT=29501 has no effect on a single node, where the rendezvous address is chosen automatically",
            ],
        ),
        ({"USE_HF": "1"}, {}, {}, []),
        ({"USE_HF": "0"}, {}, {"hub": "ms"}, ["USE_HF=0: using --hub ms"]),
        ({"USE_MODELSCOPE_HUB": "1"}, {}, {"hub": "ms"}, ["USE_MODELSCOPE_HUB=1: using --hub ms"]),
        ({"USE_HF": "1"}, {"hub": "ms"}, {"hub": "ms"}, ["USE_HF=1 has no effect: --hub ms is given"]),
        (
            {"MAX_PIXELS": "1003520"},
            {},
            {"media": {"max_pixels": 1003520}},
            ["MAX_PIXELS=1003520: using --media.max-pixels 1003520"],
        ),
        ({"NFRAMES": "2"}, {}, {}, ["NFRAMES=2 has no effect: swift does not read it"]),
        ({"FPS": "0.5"}, {}, {"media": {"fps": 0.5}}, ["FPS=0.5: using --media.fps 0.5"]),
        ({"FPS_MAX_FRAMES": "12"}, {}, {"media": {"max_frames": 12}}, ["FPS_MAX_FRAMES=12: using --media.max-frames 12"]),
        ({"CUDA_VISIBLE_DEVICES": "0"}, {}, {}, []),
        (
            {"CUDA_VISIBLE_DEVICES": "0,1"},
            {},
            {},
            ["CUDA_VISIBLE_DEVICES lists 2 devices, but each process uses one: use --processes 2 to use all of them"],
        ),
        ({"CUDA_VISIBLE_DEVICES": "0,1"}, {"device": "cpu"}, {"device": "cpu"}, []),
        ({"CUDA_VISIBLE_DEVICES": ""}, {"processes": 2}, {"processes": 2}, []),
        (
            {"CUDA_VISIBLE_DEVICES": "3", "NPROC_PER_NODE": "2"},
            {},
            {"processes": 2},
            [
                "NPROC_PER_NODE=2: using --processes 2",
                "CUDA_VISIBLE_DEVICES lists 1 devices for 2 processes: each process needs its own accelerator",
            ],
        ),
    ],
)
def test_what_is_set(environment, given, values, notes):
    settings, reported = applied(environment, **given)
    assert settings == values
    assert sorted(reported) == sorted(notes)


def test_several_machines():
    environment = {"NPROC_PER_NODE": "8", "NNODES": "2", "NODE_RANK": "1", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29501"}
    values, notes = applied(environment)
    launcher = {"name": "torchrun", "node_rank": 1, "master_addr": "10.0.0.1", "master_port": 29501}
    assert values == {"processes": 8, "nodes": 2, "launcher": launcher}
    assert len(notes) == 6
    assert applied(environment, launcher={"name": "slurm"})[0]["launcher"] == {"name": "slurm"}
    assert applied(environment, launcher={"name": "torchrun", "master-addr": "b"})[0]["launcher"]["master-addr"] == "b"


def test_a_verb_without_processes_says_so():
    assert applied({"NPROC_PER_NODE": "4"}, "merge")[1] == ["NPROC_PER_NODE=4 has no effect on this command"]
    assert applied({"NPROC_PER_NODE": "1"}, "merge")[1] == []


@pytest.mark.parametrize("environment", [{"NPROC_PER_NODE": "gpu"}, {"NNODES": "x"}, {"USE_HF": "perhaps"}])
def test_what_is_no_value_is_refused(environment):
    with pytest.raises(UsageError) as caught:
        applied(environment)
    assert caught.value.where == next(iter(environment))


def test_a_command_that_a_launcher_has_started_is_refused():
    launched = {"LOCAL_RANK": "1", "RANK": "1", "WORLD_SIZE": "4"}
    with pytest.raises(UsageError, check=coded("RUN-013"), match="command 4"):
        applied(launched)
    assert applied(launched, "merge") == ({}, [])
    assert applied({"RANK": "1", "WORLD_SIZE": "2"}) == ({}, []), "as some clusters name their machines"


def test_by_the_command(swift, tmp_path, tiny_model):
    row = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    swift.env |= {"NPROC_PER_NODE": "2", "MAX_PIXELS": "1"}
    outcome = swift("sft", "--model", str(tiny_model), "--dataset", "rows.jsonl", "--dry-run")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["options"]["processes"] == 2
    assert "note: NPROC_PER_NODE=2: using --processes 2" in outcome.err
    assert json.loads(outcome.out)["parts"]["task"]["options"]["media"]["max_pixels"] == 1
    assert "note: MAX_PIXELS=1: using --media.max-pixels 1" in outcome.err
