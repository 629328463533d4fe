"""The commands that only tell: schema, models, plugins, help; and a verb's YAML under `swift run`."""

from __future__ import annotations

import json

import jsonschema
import pytest

from swift_core.plugins.verb_names import verbs

NAMES = {verb.name for verb in verbs() if verb.gives != "model"}

ROW = json.dumps({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]})


def test_the_schema_accepts_what_works_and_refuses_what_does_not(swift):
    schema = json.loads(swift("schema", "sft").out)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    good = {
        "model": "x",
        "dataset": ["y"],
        "learning_rate": 1e-4,
        "tuner": {"name": "lora", "rank": 8},
        "parallel": "ddp",
        "mask": {"end": "turn"},
    }
    validator.validate(good)
    for bad in (
        {"learning_raet": 1},
        {"tuner": "loar"},
        {"tuner": {"name": "lora", "rnak": 1}},
        {"max_steps": "many"},
        {"mask": {"end": "x"}},
    ):
        assert list(validator.iter_errors(good | bad)), bad
    assert list(validator.iter_errors({"dataset": ["y"]}))


def test_the_whole_schema(swift):
    schema = json.loads(swift("schema").out)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert {item["properties"]["run"]["const"] for item in schema["oneOf"]} == NAMES
    assert "did you mean" in swift("schema", "sfd").err.lower()


@pytest.mark.parametrize("verb", sorted(NAMES))
def test_help_of_every_verb(swift, verb):
    outcome = swift(verb, "--help")
    assert outcome.code == 0
    assert "--dry-run" in outcome.out


def test_help_shows_the_options_of_what_is_chosen(swift):
    assert "--tuner.block-size" in swift("sft", "--tuner", "boft", "--help").out
    assert "--tuner.block-size" not in swift("sft", "--help").out
    assert "--tensor-parallel-size" in swift("serve", "--backend", "vllm", "--help").out


def test_models(swift, tiny_model):
    assert "qwen3" in swift("models").out
    assert json.loads(swift("models", "list", "--json").out)
    assert "gemma3" in swift("models", "search", "gemma").out
    outcome = swift("models", "search", "lamma")
    assert outcome.code == 2
    assert "Did you mean 'llama'?" in outcome.err
    assert "q_proj" in swift("models", "show", "llama").out
    shown = json.loads(swift("models", "show", str(tiny_model)).out)
    assert shown["family"] == "llama"
    assert shown["format"] == "safetensors"


def test_plugins_of_one_distribution(swift):
    assert "quantizer" in swift("plugins", "swift-plugin-bnb").out
    assert "Did you mean 'peft'?" in swift("plugins", "petf").err


def test_run_of_one_verb_with_overriding_flags(swift, tmp_path, tiny_model):
    (tmp_path / "rows.jsonl").write_text(ROW + "\n")
    (tmp_path / "sft.yaml").write_text(f"run: sft\nmodel: {tiny_model}\ndataset: [rows.jsonl]\nmax_steps: 5\n")
    run = json.loads(swift("run", "sft.yaml", "--max-steps", "7", "--dry-run").out)
    assert run["verb"] == "sft"
    assert run["parts"]["task"]["options"]["max_steps"] == 7
    assert "SWIFT-CLI-003" in swift("run", "sft.yaml", "--max-stpes", "7").err


def test_version_and_no_arguments(swift):
    assert swift("--version").out.startswith("swift-core, version ")
    assert "Commands:" in swift().out


def test_the_text_to_compare_on_is_a_users_only_where_there_is_a_flag_for_it(swift):
    for verb in ("merge", "export", "quantize"):
        text = " ".join(swift(verb, "--help").out.split())
        assert "--verify.tokens INTEGER" in text
        assert ("or else from Python's documentation" in text) is ("--val-dataset VALUE" in text) is (verb == "quantize")
