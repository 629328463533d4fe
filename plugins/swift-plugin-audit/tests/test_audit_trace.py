"""A checkpoint is traced from the merge through its training to data and base, by content and whatever it is called."""

from __future__ import annotations

import json
import shutil

import pytest
from swift_plugin_audit.places import places
from swift_plugin_audit.verify import verify

from tests.here import swift_here


@pytest.fixture
def made(tmp_path, monkeypatch, tiny_model):
    """A merged checkpoint, with the log of how it was made."""
    for name in ("log", "heads", "key"):
        monkeypatch.setenv(f"SWIFT_AUDIT_{name.upper()}", str(tmp_path / name))
    monkeypatch.setenv("SWIFT_AUDIT", "required")
    data = tmp_path / "data"
    data.mkdir()
    rows = [{"messages": [{"role": "user", "content": f"Say {n}."}, {"role": "assistant", "content": f"{n}"}]} for n in range(4)]
    (data / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (data / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n# Rows\n")
    words = ("--dataset", "data/rows.jsonl", "--max-steps", "1", "--max-length", "64", "--output", "tuned")
    for command in (("sft", "--model", str(tiny_model), *words), ("merge", "tuned", "--output", "merged")):
        code, _, err = swift_here(tmp_path, *command)
        assert code == 0, err
    return tmp_path


def test_a_merged_checkpoint_leads_back_to_data_and_base(made, tiny_model):
    shutil.move(made / "merged", made / "copy")
    code, out, _ = swift_here(made, "audit", "trace", "copy", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["verb"] == "merge"
    (tuned,) = [base for base in found["base"] if base["verb"]]
    assert tuned["verb"] == "sft"
    assert [(each["asked"], each["licence"], each["use"]) for each in tuned["data"]] == [("data/rows.jsonl", "cc-by-4.0", "training")]
    assert [base["name"] for base in tuned["base"]] == [f"file:{tiny_model}"]
    assert "training data: data/rows.jsonl" in swift_here(made, "audit", "trace", "copy")[1]
    assert verify(places(), runs=made / "runs").holds

    file = made / "copy" / "config.json"
    file.write_text(file.read_text() + "\n")
    code, out, _ = swift_here(made, "audit", "trace", "copy", "--json")
    assert (code, json.loads(out)["problem"]) == (1, "changed since: config.json")
    assert swift_here(made, "audit", "trace", str(tiny_model))[0] == 1  # no run made it
    assert swift_here(made, "audit", "trace", "absent")[0] == 2


def test_without_a_writable_log_nothing_runs(made, tiny_model, monkeypatch):
    monkeypatch.setenv("SWIFT_AUDIT_LOG", str(made / "data" / "rows.jsonl" / "log"))
    words = ("merge", "tuned", "--output", "again")
    code, _, err = swift_here(made, *words)
    assert (code, "SWIFT-AUDIT-007" in err, (made / "again").exists()) == (2, True, False)
    monkeypatch.setenv("SWIFT_AUDIT", "on")
    code, _, err = swift_here(made, *words)
    assert code == 0, err
    assert "this run will not be in the audit log" in err
