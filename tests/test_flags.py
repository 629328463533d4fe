"""Flags: which there are, other tools' spellings, and what is rewritten for click."""

from __future__ import annotations

import json

import pytest

from swift_core import UsageError
from swift_core.cli import command_for
from swift_core.contract import Settings
from swift_core.options import flags, other_tools
from swift_core.options.settings import parse_yaml
from swift_core.plugins.registered import registry
from swift_core.plugins.verb_names import verb_named, verbs
from swift_core.runs.choose import options_and_parts


def known(*words: str, verb: str = "sft", text: str = "") -> flags.Flags:
    return flags.flags_for(verb_named(verb), words, parse_yaml(text, "f.yaml"), registry())


def rewritten(*words: str, verb: str = "sft") -> list[str]:
    return flags.rewrite(words, known(*words, verb=verb))


def test_the_main_part_is_flat_and_the_others_are_dotted():
    names = known().flags
    assert names["learning-rate"].path == "learning_rate"
    assert names["tuner.rank"].path == "tuner.rank"
    assert "rank" not in names
    assert names["optimizer.weight-decay"].section == "Optimizer adamw"


def test_flags_follow_the_parts_that_are_chosen():
    assert "tuner.rank" in known().flags
    assert "tuner.rank" not in known("--tuner", "full").flags
    assert "tuner.rank" not in known("--train_type=full").flags
    assert "tuner.rank" not in known(text="tuner: full\n").flags
    assert "tuner.rank" in known("--tuner", "dora", text="tuner: full\n").flags
    assert "quantizer.bits" not in known().flags
    assert "quantizer.bits" in known("--quant_method", "bnb").flags


def test_options_of_the_data_sets_that_are_asked_for():
    assert "dataset.identity.model-name" in known("--dataset", "alpaca-en-demo#10", "identity").flags
    assert "dataset.identity.model-name" not in known("--dataset", "alpaca-en-demo").flags
    assert rewritten("--dataset", "identity", "--model_name", "Swifty") == [
        "--dataset",
        "identity",
        "--dataset.identity.model-name",
        "Swifty",
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--learning_rate", "1e-4"], ["--learning-rate", "1e-4"]),
        (["--learning_rate=1e-4"], ["--learning-rate", "1e-4"]),
        (["--lora_rank", "16", "--lora_alpha", "32"], ["--tuner.rank", "16", "--tuner.alpha", "32"]),
        (
            ["--target_modules", "q_proj", "v_proj", "--seed", "1"],
            ["--tuner.targets", "q_proj", "--tuner.targets", "v_proj", "--seed", "1"],
        ),
        (["--train_type", "full"], ["--tuner", "full"]),
        (["--sft_type", "lora"], ["--tuner", "lora"]),
        (["--tuner_type", "lora"], ["--tuner", "lora"]),
        (["--deepspeed", "zero2"], ["--parallel", "zero2"]),
        (["--per_device_train_batch_size", "2"], ["--batch-size", "2"]),
        (["--num_train_epochs", "3"], ["--epochs", "3"]),
        (["--output_dir", "out"], ["--output", "out"]),
        (["--torch_dtype", "bfloat16"], ["--dtype", "bfloat16"]),
        (["--shuffle", "false"], ["--no-shuffle"]),
        (["--shuffle=true"], ["--shuffle"]),
        (["--overwrite"], ["--overwrite"]),
        (["--use_hf", "false"], ["--hub", "ms"]),
        (["--use_hf", "true"], ["--hub", "hf"]),
        (["--dataset", "a.jsonl#10", "b"], ["--dataset", "a.jsonl#10", "--dataset", "b"]),
        (["--max-grad-norm", "-1"], ["--max-grad-norm", "-1"]),
        (["--nonsense", "1"], ["--nonsense", "1"]),
        (["--gradient_checkpointing", "false"], ["--no-gradient-checkpointing"]),
    ],
)
def test_other_spellings(words, expected):
    assert rewritten(*words) == expected


def test_other_spellings_are_reported_once():
    found = known("--lora_rank", "8")
    flags.rewrite(["--lora_rank", "8"], found)
    assert found.notes == ["--lora_rank is --tuner.rank here"]


@pytest.mark.parametrize(
    ("words", "message"), [(["--shuffle=maybe"], "must be true or false, not 'maybe'"), (["--dataset"], "needs at least one value")]
)
def test_wrong_values(words, message):
    with pytest.raises(UsageError, match=message):
        rewritten(*words)


def test_every_flag_of_every_verb_is_described_and_unambiguous():
    for verb in verbs():
        found = flags.flags_for(verb, [], Settings(), registry())
        for flag in found.flags.values():
            assert flag.field.description.endswith((".", "…")), f"{verb.name}: --{flag.name}"
        paths = [flag.path for flag in found.flags.values()]
        assert len(paths) == len(set(paths))


def test_flags_win_over_yaml(swift, tmp_path, tiny_model):
    (tmp_path / "rows.jsonl").write_text('{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n')
    (tmp_path / "f.yaml").write_text(f"model: {tiny_model}\ndataset: [rows.jsonl]\nlearning_rate: 1e-4\ntuner: {{name: lora, rank: 4}}\n")
    outcome = swift("sft", "f.yaml", "--learning-rate", "0.5", "--lora_alpha", "7", "--dry-run")
    run = json.loads(outcome.out)
    assert run["parts"]["task"]["options"]["learning_rate"] == 0.5
    assert run["parts"]["tuner"]["options"]["rank"] == 4
    assert run["parts"]["tuner"]["options"]["alpha"] == 7
    assert "note: --lora_alpha is --tuner.alpha here" in outcome.err


@pytest.mark.parametrize("verb", ["sft", "pretrain", "merge", "quantize"])
def test_a_bare_first_word_is_the_model(verb):
    command = command_for(verb_named(verb))
    words, _ = command.prepare(["org/name", "--dry-run"])
    assert words[:2] == ["--model", "org/name"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--target_modules", "all-linear"], "all-linear"),
        (["--target_modules", "auto"], "auto"),
        (["--lora_target", "all"], "all"),
        (["--target_modules", "q_proj"], ["q_proj"]),
        (["--target_modules", "q_proj,v_proj"], ["q_proj", "v_proj"]),
        (["--target_modules", "q_proj, v_proj"], ["q_proj", "v_proj"]),
        (["--target_modules=q_proj,v_proj"], ["q_proj", "v_proj"]),
        (["--target_modules", "q_proj", "v_proj"], ["q_proj", "v_proj"]),
        (["--tuner.targets", "q_proj", "--tuner.targets", "v_proj"], ["q_proj", "v_proj"]),
        (["--tuner.targets", r".*layers\.(0|1)\..*_proj"], r".*layers\.(0|1)\..*_proj"),
        (["--tuner.targets", r".*\.\d{1,2}\.q_proj"], r".*\.\d{1,2}\.q_proj"),
    ],
)
def test_targets_in_every_form_that_other_tools_have(words, expected):
    settings = set_by("sft", "--model", "m", "--dataset", "d.jsonl", *words)
    assert chosen_parts("sft", settings)["tuner"].options["targets"] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("all-linear", "all-linear"), ("[all-linear]", "all-linear"), ("q_proj,v_proj", ["q_proj", "v_proj"]), ("[q_proj]", ["q_proj"])],
)
def test_targets_in_yaml(text, expected):
    settings = parse_yaml(
        f"model: m\ndataset: d.jsonl\ntuner: {{name: lora, targets: {text!r}}}".replace("'[", "[").replace("]'", "]"), "f"
    )
    assert chosen_parts("sft", settings)["tuner"].options["targets"] == expected


def test_a_choice_of_all_layers_may_stand_beside_names():
    settings = set_by("sft", "--model", "m", "--dataset", "d.jsonl", "--target_modules", "all-linear", "lm_head")
    assert chosen_parts("sft", settings)["tuner"].options["targets"] == ["all-linear", "lm_head"]


@pytest.mark.parametrize(
    ("words", "part", "name"),
    [
        (["--modules_to_save", "lm_head,embed_tokens"], "tuner", "modules_to_save"),
        (["--tuner", "ia3", "--feedforward_modules", "lm_head,embed_tokens"], "tuner", "feedforward"),
        (["--tuner", "freeze", "--trainable_parameters", "lm_head,embed_tokens"], "tuner", "train"),
        (["--quantizer", "bnb", "--llm_int8_skip_modules", "lm_head,embed_tokens"], "quantizer", "skip"),
        (["--parallel", "fsdp", "--parallel.wrap", "lm_head,embed_tokens"], "parallel", "wrap"),
    ],
)
def test_lists_of_names_may_have_commas(words, part, name):
    words = ["--tuner.modules-to-save" if word == "--modules_to_save" else word for word in words]
    parts = chosen_parts("sft", set_by("sft", "--model", "m", "--dataset", "d.jsonl", *words))
    assert parts[part].options[name] == ["lm_head", "embed_tokens"]


@pytest.mark.parametrize(
    ("text", "targets"),
    [('["q_proj", "v_proj"]', ["q_proj", "v_proj"]), ("[qv]_proj", "[qv]_proj"), ("[0-9]", "[0-9]")],
)
def test_a_list_may_be_written_as_json(text, targets):
    parts = chosen_parts("sft", set_by("sft", "--model", "m", "--dataset", '["a.jsonl", "b.jsonl"]', "--target_modules", text))
    assert parts["tuner"].options["targets"] == targets
    assert set_by("sft", "--dataset", '["a.jsonl", "b.jsonl"]').values["dataset"] == ["a.jsonl", "b.jsonl"]


def test_a_comma_in_a_text_is_a_comma(swift):
    settings = set_by("infer", "--questions", "Hello, world", "--stop", ",")
    assert settings.values["questions"] == ["Hello, world"]
    assert settings.values["stop"] == [","]


def test_json_where_an_option_takes_a_name_or_a_mapping():
    settings = set_by("sft", "--parallel", "deepspeed", "--parallel.config", '{"zero_optimization": {"stage": 2}}')
    assert settings.values["parallel"]["config"] == {"zero_optimization": {"stage": 2}}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--sequence_parallel_size", "4"], ["--parallel", "mesh", "--parallel.context", "4"]),
        (["--sequence_parallel_size", "4", "--parallel", "megatron"], ["--sequence_parallel_size", "4", "--parallel", "megatron"]),
        (["--hostfile", "h", "--launcher", "torchrun"], ["--launcher", "torchrun", "--launcher.hostfile", "h", "--launcher", "torchrun"]),
    ],
)
def test_flags_that_choose_a_part_too(words, expected):
    assert other_tools.expand(words, verb_named("sft"), registry(), []) == expected


def set_by(verb: str, *words: str) -> Settings:
    """The settings that a command line gives, through click."""
    command = command_for(verb_named(verb))
    return command.settings(command.make_context(verb, list(words)).params)


def chosen_parts(verb: str, settings: Settings):
    return options_and_parts(verb_named(verb), settings, registry())[1]
