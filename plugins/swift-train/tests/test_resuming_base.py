"""A resume with another base says which base the run is of."""

from __future__ import annotations

import json

import pytest
from swift_train.resume import changed_settings

from swift_core.contract.errors import UsageError


@pytest.mark.parametrize(
    ("recorded", "typed"),
    [({"model": {"reference": "file:models/tide"}}, "--model models/tide"), ({"model": None}, "--resume.allow-change")],
)
def test_the_base_of_the_run_is_named(recorded, typed, tmp_path):
    (tmp_path / "run.json").write_text(json.dumps(recorded))
    with pytest.raises(UsageError) as refused:
        changed_settings({"model": "1"}, {"model": "2"}, tmp_path / "checkpoints" / "step-000001", allow=False)
    assert typed in refused.value.hint
