"""--fsdp with a JSON object or file."""

from __future__ import annotations

import json

import pytest
from swift_testing.codes import coded
from swift_train.flag_groups import combine
from swift_train.fsdp_json import words_of

from swift_core.contract.errors import UsageError

FULL = {"fsdp": "full_shard auto_wrap", "fsdp_config": {"fsdp_version": 2, "activation_checkpointing": True, "reshard_after_forward": True}}


def test_an_object_and_a_file_mean_the_same(tmp_path):
    file = tmp_path / "fsdp.json"
    file.write_text(json.dumps(FULL))
    expected = ["--parallel", "fsdp", "--gradient_checkpointing", "true"]
    assert words_of(json.dumps(FULL)) == words_of(str(file)) == expected
    assert combine(["--model", "m", "--fsdp", str(file)]) == ["--model", "m", *expected]


@pytest.mark.parametrize(
    ("config", "more"),
    [
        ({"fsdp": "shard_grad_op offload"}, ["--parallel.offload", "true", "--parallel.reshard_after_forward", "false"]),
        ({"fsdp_config": {"fsdp_transformer_layer_cls_to_wrap": "A, B"}}, ["--parallel.wrap", "A", "B"]),
        ({"sharding_strategy": "SHARD_GRAD_OP"}, ["--parallel.reshard_after_forward", "false"]),
    ],
)
def test_options(config, more):
    assert words_of(json.dumps(config)) == ["--parallel", "fsdp", *more]


def test_names_stay_and_other_texts_are_refused(tmp_path):
    assert combine(["--fsdp", "fsdp2"]) == ["--fsdp", "fsdp2"]
    for wrong in ("{", str(tmp_path / "none.json")):
        with pytest.raises(UsageError, check=coded("TRAIN-274")):
            words_of(wrong)
