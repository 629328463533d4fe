"""The conformance kit against plugins that break one contract each: it names the fault, and the command line stays usable beside them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from swift_testing import scaffold
from swift_testing.codes import coded
from swift_testing.kit import parametrize_with_checks
from swift_testing.kit.collect import Case, all_checks, cases, entries_of
from swift_testing.kit.model import CheckFailed, Example, Skip
from swift_testing.kit.probe import Entry, NotImported, probe
from swift_testing.kit.subject import Subject

from swift_core.contract import VerbSpec
from swift_core.contract.errors import UsageError
from swift_core.plugins.loader import plugins
from swift_core.plugins.registered import registry

BAD = Path(__file__).parent / "bad_plugins"

# plugin: the check that must fail, and words of what it must say
FAULTS = {
    "heavy_import": ("check_import_is_light", "it imports numpy ("),
    "network": ("check_import_uses_no_network", "192.0.2.1"),
    "exit": ("check_import", "SystemExit: 3"),
    "end": ("check_import", "ended the process with exit code 7"),
    "print": ("check_import_prints_nothing", "'Welcome!'"),
    "environ": ("check_import_changes_nothing", "os.environ (ACME_VERBOSITY)"),
    "logging": ("check_import_changes_nothing", "it changes logging"),
    "files": ("check_import_writes_nothing", "swift-bad-plugin"),
    "process": ("check_import_writes_nothing", "starts processes"),
    "api": ("check_api", "plugin API >=99"),
    "hook": ("check_hooks", "there is no hook 'swift_tuner'. Did you mean 'swift_tuners'?"),
    "signature": ("check_hooks", "mood"),
    "isolated": ("check_hook_results", "shares the training process"),
    "heavy_options": ("check_options_are_light", "faults.heavy, imports numpy"),
    "name": ("check_name", "'My Launcher' is not a valid name"),
    "summary": ("check_summary", "ends with a full stop"),
    "clash": ("check_names_are_unique", "'lora' is offered by swift-plugin-peft too"),
    "ref": ("check_refs", "faults.tuners:Nowhere"),
    "engine": ("check_engines", "can't be installed"),
    "noisy": ("check_callback_side_effects", "on_step_end changes torch's random generator"),
    "unsaved": ("check_callback_state", "{'steps': 0} after load_state_dict()"),
    "unescaped": ("check_texts_are_escaped", "inserted without escaping"),
    "needs_loss": ("check_any_run", "ValueError: min() "),
    "half": ("check_optional_members", "it has load, but not max_kl"),
    "role": ("check_role", "has no push()"),
    "loose": ("check_options_class", "accepts unknown options"),
    "undescribed": ("check_options_are_described", "without a description: patience"),
    "spelling": ("check_aliases_are_unique", "'patience' stands for both"),
    "default": ("check_defaults", "the defaults are not valid"),
    "json": ("check_options_json_round_trip", "patience was 3 and is 0"),
    "targets": ("check_targets_exist", "q_porj. Available: down_proj"),
    "path": ("check_paths_exist", "no module 'transformer.h'"),
    "prefixes": ("check_prefixes_partition_parameters", "prefixes that overlap: model.language_model and model"),
    "parts": ("check_prefixes_partition_parameters", "belongs to none of"),
    "remote": ("check_remote_code", "no remote code is needed"),
    "base": ("check_base_is_frozen", "weights of the base are trainable: "),
    "groups": ("check_parameter_groups", "that are in no group"),
    "forgets": ("check_save_and_restore", "restored on a fresh base, its logits differ"),
    "drift": ("check_merge", "merged, its logits differ by"),
    "four_bits": ("check_quantized_base", "has quantized_base=False"),
    "random": ("check_quantization_is_deterministic", "these files differ: model.safetensors"),
    "manifest": ("check_quantization_metadata", "don't match these files: model.safetensors"),
    "export": ("check_export_is_deterministic", "these files differ: model.dated"),
    "reader": ("check_export_accuracy", "its own limit of 0.0001"),
    "evaluator": ("check_scores_are_reproducible", "and then"),
    "dataset": ("check_rows_are_reproducible", "it yields different rows"),
    "rows": ("check_rows", "is not a row of kind chat"),
    "hub": ("check_network_failure", "does not raise a SwiftError"),
    "launcher": ("check_worker_failure", "a worker failed, but it returns 0"),
    "optimizer": ("check_optimizer_state", "after its state was restored"),
    "loader": ("check_damaged_weights_are_refused", "it loads a checkpoint with missing weights"),
    "strategy": ("check_data_parallel_loss", "one process has the losses"),
    "resume": ("check_resume", "stopped and resumed, the losses are"),
    "task": ("check_loss_decreases", "in six steps"),
    "encoder": ("check_encoding", "a chat row has no supervised tokens"),
    "key": ("check_command", "the API key is among the arguments"),
    "open": ("check_api_key_is_required", "POST /v1/chat/completions without a key returns 200"),
    "start": ("check_serves", "it exited with code 1. Last line of its log: RuntimeError: no luck today"),
    "stream": ("check_streaming", "streamed it answers 'I STAND"),
    "stop_words": ("check_stop_strings", "with stop="),
    "any_model": ("check_unknown_model_is_refused", "for the unknown model 'nobody' it answers"),
    "adapters": ("check_adapters", "has adapters=True, but 'poet' answers as the base does"),
    "denied_adapters": ("check_adapters", "has adapters=False, but its command accepts adapters"),
    "runtime": ("check_runtime_adapters", "has runtime_adapters=False, but add_adapter() works"),
    "port": ("check_shutdown_frees_port", "1 of its child processes still run"),
    "deaf": ("check_shutdown_frees_port", "it still runs"),
    "stale": ("check_saved_weights", "the saved weights of two processes differ"),
    "routes": ("check_routes", "`serves` lists completions, but the route answers with status 404"),
    "unready": ("check_adapter_training", "in six steps"),
    "mean": ("check_loss_is_a_sum", "those of its halves are"),
    "weights": ("check_loss_weights", "with weights of 3 it is"),
    "contaminated": ("check_packed_rows_are_isolated", "two rows in one micro-batch have the loss"),
    "joined": ("check_micro_batch_rows", "two rows of a Llama affect each other"),
    "foreign": ("check_peft_compatibility", "loaded by PEFT, its logits differ by"),
    "frozen": ("check_training_can_continue", "restored with trainable=True, 0 parameters are trainable"),
    "given": ("check_save_of_gathered_weights", "it did not save the weights that were passed"),
    "switch": ("check_adapter_switching", "with two adapters attached"),
    "same": ("check_quantization", "without quantization"),
    "goes_on": ("check_rows_restart", "starting with number"),
    "repeats": ("check_row_numbers", "in texts row 1 comes after row 1"),
    "rate": ("check_learning_rate", "with a learning rate of 0 a step changes weights"),
    "revision": ("check_revision", "for an unknown revision it returns"),
    "dtype": ("check_dtype", "bfloat16 was requested, but it loaded torch.float32"),
    "code": ("check_untrusted_code_is_refused", "it ran the checkpoint's own code"),
    "again": ("check_resuming", "it sends 1 requests"),
    "renames": ("check_item_ids", "differ from run to run"),
    "invents": ("check_evaluator_uses_server", "without sending a request to the server"),
    "zero": ("check_server_failure", "the server was unreachable, but it returns the scores"),
    "limit": ("check_max_tokens", "with max_tokens=2 it answers"),
    "stream_stop": ("check_stop_strings_in_stream", "streamed with stop="),
    "left": ("check_client_disconnect", "the next one had no answer"),
    "turns": ("check_concurrent_adapters", "with concurrent requests, "),
    "command_heavy": ("check_command_import_is_light", "it imports numpy ("),
    "command_import": ("check_command_imports", "No module named 'there_is_no_such_module' ("),
    "command_prints": ("check_command_import_side_effects", "'Welcome!'"),
    "command_chat": ("check_command_name_is_unique", "'chat' is a verb"),
    "command_help": ("check_command_has_help", "its function has no docstring"),
    "command_traceback": ("check_usage_errors", "it raises FileNotFoundError"),
    "verb_options": ("check_run_options", "does not derive from swift_core.options.RunOptions"),
    "verb_part": ("check_parts_exist", "there is no kind of part 'tokeniser'"),
    "verb_positional": ("check_positional", "`positional` is 'dataset'"),
    "verb_job": ("check_implementation", "no `job`, no `job_from` and no `carry_out`"),
    "verb_spelling": ("check_spellings", "model_path → modle, use_hf=true → hbu=hf"),
    "verb_gives": ("check_result", "it gives file, but its output is None"),
    "verb_unlisted": ("check_verb_entry_points", "not in the entry-point group swift.verbs: verb-unlisted"),
    "missing": ("check_missing_checkpoint_exits", "it serves although the checkpoint is missing"),
}


@pytest.fixture(autouse=True)
def _on_the_path(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BAD))


def cases_of(module: str) -> Iterator[Case]:
    if module.startswith("bad_command_"):
        return cases(Entry(module.removeprefix("bad_command_"), f"{module}:command", "swift-plugin-bad", command=True))
    return cases(Entry(module.replace("_", "-"), module, f"swift-plugin-{module.replace('_', '-')}"))


def outcomes(module: str, *names: str) -> dict[str, str]:
    """What the checks of these names (all, without any) found; a subject is closed behind its last check."""
    found = {}
    for case in list(cases_of(module)):
        if names and case.check.name not in names:
            continue
        try:
            case()
            found[case.check.name] = ""
        except Skip as reason:
            found[case.check.name] = f"skipped: {reason}"
        except CheckFailed as fault:
            found[case.check.name] = str(fault)
        finally:
            if names:
                case.subject.close()
    return found


@pytest.fixture
def _installed(request, distribution, swift, monkeypatch):
    """A training asks the registry for its parts by name, so that these plugins must be installed for this process too."""
    if request.param in ("strategy", "resume", "task", "joined", "stale", "verb_gives", "verb_unlisted"):
        name = f"bad-{request.param}".replace("_", "-")
        distribution(name, (BAD / f"bad_{request.param}.py").read_text(), entry=name)
        monkeypatch.syspath_prepend(swift.paths[0])
        monkeypatch.setenv("PYTHONPATH", str(BAD))
        registry.cache_clear()
        plugins.cache_clear()
        yield
        registry.cache_clear()
        plugins.cache_clear()
    else:
        yield


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "_installed"), [(name, name) for name in FAULTS], indirect=["_installed"], ids=list(FAULTS))
@pytest.mark.usefixtures("_installed")
def test_the_kit_names_the_fault(fault, monkeypatch):
    limits = {"deaf": "served.STOP_SECONDS", "port": "served.LEFT_SECONDS", "left": "checks.requests.PATIENCE"}
    if limit := limits.get(fault):  # where no patience helps
        monkeypatch.setattr(f"swift_testing.kit.{limit}", 2.0)
    check, words = FAULTS[fault]
    assert words in outcomes(f"bad_{fault}", check)[check]


def test_every_bad_plugin_is_tested():
    assert {path.stem.removeprefix("bad_") for path in BAD.glob("bad_*.py")} == {*FAULTS, "hang"}


def test_a_plugin_without_a_fault_passes():
    found = outcomes("good_backend")
    assert not {name: text for name, text in found.items() if text and not text.startswith("skipped")}
    assert found["check_adapters"] == found["check_shutdown_frees_port"] == found["check_missing_checkpoint_exits"] == ""


@pytest.mark.slow
def test_a_plugin_that_hangs_at_import_is_ended():
    with pytest.raises(NotImported, match="did not finish within 1 seconds"):
        probe(Entry("hang", "bad_hang", "swift-plugin-hang"), 1.0)


def test_a_task_s_options_may_derive_from_those_of_swift_train(tmp_path, monkeypatch):
    info = tmp_path / "swift_train-1.dist-info"  # as where it is installed from a wheel
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: swift-train\nVersion: 1\n")
    (info / "top_level.txt").write_text("swift_train\n")
    source = (scaffold.folder() / "task" / "src" / "swift_plugin_acme" / "options.py").read_text()
    (tmp_path / "swift_plugin_mine").mkdir()
    (tmp_path / "swift_plugin_mine" / "options.py").write_text(source)
    source = (scaffold.folder() / "task" / "src" / "swift_plugin_acme" / "__init__.py").read_text()
    (tmp_path / "swift_plugin_mine" / "__init__.py").write_text(source.replace("swift_plugin_acme", "swift_plugin_mine"))
    monkeypatch.syspath_prepend(str(tmp_path))
    report = probe(Entry("mine", "swift_plugin_mine", "swift-plugin-mine"))
    assert (report.stage, report.foreign_for_options) == ("done", {})


@pytest.mark.parametrize("home", sorted({entry.plugin.distribution for entry in registry().entries(VerbSpec)}))
def test_our_verbs_pass(home):
    found = {}
    for entry in entries_of(home):
        for case in cases(entry):
            if case.check.kind == "verb" or case.check.name == "check_verb_entry_points":
                with contextlib.suppress(Skip):
                    case()
                found[case.id] = case.subject.kind
    assert set(found.values()) >= {"plugin", "verb"}


def test_an_example_gives_the_tiny_model_other_sizes():
    subject = Subject(Entry("x", "x", "x"), example=Example(sizes={"head_dim": 32}))
    config = json.loads((subject.tiny_model / "config.json").read_text())
    subject.close()
    assert (config["head_dim"], config["hidden_size"]) == (32, 64)


def test_every_check_says_why():
    names = [(check.kind, check.name) for check in all_checks()]
    assert len(names) == len(set(names))
    assert all(len(check.why) > 30 and check.name.startswith("check_") for check in all_checks())


@pytest.mark.slow
def test_the_command_line_is_usable_beside_all_of_them(swift, distribution):
    """The one that ends the process and the one that hangs are apart: nothing that imports plugins goes on beside those."""
    swift.paths.append(str(BAD))
    for path in sorted(BAD.glob("bad_*.py")):
        if path.stem not in ("bad_hang", "bad_end"):
            name = f"swift-plugin-{path.stem.replace('_', '-')}"
            module = name.replace("-", "_")
            as_command = {"group": "swift.commands", "target": f"{module}:command"} if path.stem.startswith("bad_command") else {}
            distribution(name, path.read_text(), **as_command)
    assert "Fine-tune" in swift("--help").out
    records = {record["name"]: record for record in json.loads(swift("plugins", "--json").out)}
    assert not records["peft"]["failure"]
    assert records["bad-hook"]["failure"]
    assert "there_is_no_such_module" in records["bad-command-import"]["failure"]
    assert "is broken" in records["bad-engine"]["offers"][0]["hint"]
    assert swift("schema").code == 0
    outcome = swift("plugins", "check", "swift-plugin-bad-exit")
    assert outcome.code == 1
    assert "plugin bad-exit: check_import: it can't be imported: SystemExit: 3" in outcome.out


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["hang", "end"])
def test_help_and_check_work_beside_one_that_stops_everything(fault, swift, distribution):
    distribution("swift-plugin-stops", (BAD / f"bad_{fault}.py").read_text())
    assert "Fine-tune" in swift("--help").out
    outcome = swift("plugins", "check", "stops", "--limit", "10", "--json")
    assert outcome.code == 1
    results = {result["check"]: result for result in json.loads(outcome.out)}
    assert results["check_import"]["outcome"] == "failed"
    assert results["check_import_is_light"]["outcome"] == "skipped"


@pytest.mark.slow
def test_a_check_that_never_ends_is_ended_and_the_rest_are_done(distribution, swift, monkeypatch):
    from swift_testing.kit.running import results

    source = (BAD / "good_backend.py").read_text().replace("faults.backends:Good", "swift_plugin_slow:Slow")
    distribution("swift-plugin-slow", f"{source}\n\nclass Slow:\n    def __init__(self, options):\n        __import__('time').sleep(100)\n")
    monkeypatch.syspath_prepend(swift.paths[0])
    found = {result.check: result for result in results("swift-plugin-slow", checks=["check_role", "check_name"], limit=3.0)}
    assert "did not finish within 3 seconds" in found["check_role"].reason
    assert found["check_name"].outcome == "passed"


class TestParametrize:
    def test_every_check_is_a_parameter_with_a_readable_id(self):
        mark = parametrize_with_checks("swift-plugin-sglang")
        assert "check_adapters[backend sglang]" in [parameter.id for parameter in mark.args[1]]

    def test_an_expected_failure_is_strict_and_has_its_reason(self):
        expected = {"check_adapters[backend sglang]": "adapters come in the next release"}
        mark = parametrize_with_checks("swift-plugin-sglang", expected_failures=expected)
        (parameter,) = [parameter for parameter in mark.args[1] if parameter.marks]
        assert parameter.marks[0].kwargs == {"reason": "adapters come in the next release", "raises": CheckFailed, "strict": True}

    @pytest.mark.parametrize(
        ("expected", "words"), [({"check_adapter": "later"}, "there is no check"), ({"check_adapters": " "}, "has no reason")]
    )
    def test_expectations_need_a_reason_and_a_check(self, expected, words):
        with pytest.raises(UsageError, match=words):
            parametrize_with_checks("swift-plugin-sglang", expected_failures=expected)

    def test_a_distribution_that_is_not_there_is_named(self):
        with pytest.raises(UsageError, check=coded("TEST-003"), match="'swift-plugin-sglan'"):
            parametrize_with_checks("swift-plugin-sglan")
