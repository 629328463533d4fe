"""How many of other tools' public example commands and files resolve here: `swift` and `megatron` commands, LLaMA-Factory, axolotl, TRL.

    python benchmarks/moving_over.py --ms-swift FOLDER --llama-factory FOLDER --axolotl FOLDER --trl FOLDER [--list refused.txt]

Each FOLDER is a checkout of the tool's repository. Every command line in its shell scripts and pages, and every training file, is resolved
as `--dry-run` does. What is not of this program is replaced: the model by a tiny random Llama, an adapter by an empty one on it, data sets
by rows of the form that the verb takes, a plugin file of the examples by one that defines rewards and schedulers of the same names.
Engines and a GPU are pretended to be there. So a count is the best case: the names and values of
the options, and their combinations, and nothing of what a run then does. Lines with placeholders
(`...`, `xxx`), lines that are cut in the middle or name no model to train, and lines that name a configuration file which is not there,
are not counted.

A refusal has a reason if its message says more than that there is no such option. Commands whose verb, task or evaluator is not of this
program (`swift rollout`, `--rlhf_type ppo`, `--task_type reranker`) are counted apart: no option could make them resolve.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from itertools import pairwise
from math import prod
from pathlib import Path
from unittest import mock

import yaml
from swift_evaluate.rewriting import UNSUPPORTED_BACKENDS
from swift_plugin_import import yaml_file
from swift_plugin_import.importer import importers
from swift_plugin_import.shell import commands
from swift_plugin_import.source import Source
from swift_plugin_megatron.command import swift_line
from swift_testing.rig import write_tiny_model
from swift_testing.tiny_vlm import write_tiny_vlm
from swift_train import preflight, strategy_checks, verb_checks

from swift_core.api import resolved
from swift_core.cli import invoke
from swift_core.contract import SwiftError, TaskSpec
from swift_core.plugins import engines, find_command, find_verb, registry

_FENCE = re.compile(r"^[ \t]*```(?:shell|bash|sh|console)[^\n]*\n(.*?)^[ \t]*```", re.DOTALL | re.MULTILINE)
_PROGRAMS = ("swift", "megatron", "trl")
_TAKES_VALUE = ("model", "dataset", "val_dataset", "adapters", "output_dir", "port", "vllm_server_host")
_REPLACED = (*_TAKES_VALUE, "teacher_model", "reward_model", "ref_model", "model_name", "model_author", "ckpt_dir", "eval_dataset")
_NEED_MODEL = ("sft", "pt", "rlhf", "rollout")
_MODEL = (
    "--model",
    "--adapters",
    "--config",
    "--resume_from_checkpoint",
    "--cached_dataset",
    "--load",
    "--mcore_model",
    "--model_id_or_path",
)
_TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
_PAIR = {"prompt": _TURNS[:1], "chosen": _TURNS[1:], "rejected": [{"role": "assistant", "content": "No."}]}
_ROWS = {  # by what the verb of a command is
    "pt": {"text": "Once upon a time."}, "pretrain": {"text": "Once upon a time."}, "rm": _PAIR, "dpo": _PAIR, "orpo": _PAIR, "cpo": _PAIR,
    "simpo": _PAIR, "kto": {"messages": _TURNS, "label": True}, "seq-cls": {"messages": _TURNS[:1], "label": 1},
    "grpo": {"messages": _TURNS[:1], "solution": "1"}, "gkd": {"messages": _TURNS},
}  # fmt: skip
_REWARDS = (  # that the examples' own plugin files define
    "external_r1v_acc", "external_code_format", "external_code_reward", "external_code_reward_by_judge0", "external_countdown",
    "gsm8k_accuracy", "gsm8k_format", "thinking_tips", "deepeyes_reward", "async_genrm", "external_tooluse_format_reward",
    "external_tooluse_length_reward", "external_tooluse_correct_reward",
)  # fmt: skip
_SCHEDULERS = ("sudoku_scheduler", "deepeyes_scheduler", "tree_rollout_scheduler", "tool_call_scheduler")
_VARIABLES = ("NPROC_PER_NODE", "NNODES", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT")
_LAYERS = 8
_SIZES = ("tensor", "pipeline", "context", "shard_size")
_CODE = re.compile(r"\[SWIFT-[A-Z]+-\d+\]")
_HELP = re.compile(r"swift [\w -]*--help lists (the options|them)\.")  # says nothing of what was meant
_VERB_FLAGS = ("rlhf_type", "task_type")  # their values are tasks
_NO_TASK = ("causal_lm",)


@dataclass
class Count:
    """What became of a tool's commands or files."""

    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    absent: Counter[str] = field(default_factory=Counter)  # by what is not of this program
    unhelpful: int = 0
    listed: list[str] = field(default_factory=list)

    def add(self, what: str, problem: Problem | str) -> None:
        """Count one; `problem` is empty if it resolves."""
        found = problem if isinstance(problem, Problem) else Problem(problem, problem)
        if not found.text:
            self.accepted += 1
        elif found.absent:
            self.absent[found.text] += 1
        else:
            self.refused[found.text] += 1
            self.unhelpful += not found.reason
        if found.text:
            self.listed.append(f"{what}\n    {found.text}\n    {found.reason}")

    def line(self, title: str) -> str:
        """Return a row of the table."""
        refused = self.refused.total()
        total = self.accepted + refused
        share = 100 * self.accepted / total if total else 0
        return (
            f"{title:32} {self.accepted:4} of {total:4}   {share:5.1f} %   refused with a reason {refused - self.unhelpful:3}, "
            f"without {self.unhelpful:3}; not of this program {self.absent.total():3}"
        )


@dataclass(frozen=True)
class Problem:
    """Why a command does not resolve: the message, the reason or the way that it gives, and whether its task is not of this program."""

    text: str = ""
    reason: str = ""
    absent: bool = False


class StandIns:
    """The folder with the model, the adapter and the rows that stand in for those of the examples."""

    def __init__(self, folder: Path) -> None:
        sizes = {"hidden_size": 256, "intermediate_size": 256, "num_attention_heads": 16, "num_key_value_heads": 16}
        sizes["num_hidden_layers"] = _LAYERS
        self.folder, self.experts, self._stages, self._adapters = folder, False, 1, dict[Path, Path]()
        self._file_experts = self._vision = False
        self.model = write_tiny_model(folder / "model", **sizes)
        self.vlm = write_tiny_vlm(folder / "vlm")
        self.reward_model = _reward_model(folder / "reward", self.model)
        self.mixture = _mixture(folder / "mixture", self.model, sizes)
        for model in (self.model, self.mixture):
            self._adapters[model] = _adapter(folder / f"adapter-{model.name}", model)
        _training(folder, self.model, self.rows("sft"))

    @property
    def adapter(self) -> Path:
        """The adapter on the model that the current command is about."""
        return self._adapters[self.mixture if self.experts else self.model]

    def rows(self, verb: str) -> str:
        """Return the file with rows for a verb."""
        path = self.folder / f"{verb}.jsonl"
        path.write_text((json.dumps(_ROWS.get(verb, {"messages": _TURNS})) + "\n") * 4)
        return str(path)

    def words(self, words: Sequence[str]) -> list[str]:
        """Return a command line with what it names replaced."""
        flags = commands(shlex.join(words))[0].flags(2)
        verb = str(flags.get("rlhf_type") or ("seq-cls" if "num_labels" in flags else words[1]))
        found: list[str] = []
        name, taken = "", 0
        identity = "swift/self-cognition" in " ".join(words)  # its rows are replaced, so the options for them are left out
        self._stages = max(1, int(str(flags.get("pipeline_model_parallel_size") or 1)))
        self._vision = bool({"vit_lr", "aligner_lr"} & flags.keys())
        mixture = {"expert_model_parallel_size", "router_aux_loss_coef", "moe_aux_loss_coeff", "experts_impl"}
        self.experts = self._file_experts or bool(mixture & flags.keys())
        for word in words:
            if word.startswith("--"):
                name, equals, value = word.removeprefix("--").partition("=")
                name, taken = name.replace("-", "_"), 0
                if identity and name in ("model_name", "model_author"):
                    continue
                found.append(f"--{name}={self._value(name, value, verb)}" if equals else word)
            elif identity and name in ("model_name", "model_author"):
                continue
            elif name in ("dataset", "val_dataset", "cached_dataset", "dataset_name"):
                taken += 1
                if taken == 1 or name != "dataset_name":
                    found.append(self._value(name, word, verb))
            else:
                found.append(self._value(name, word, verb))
        return found

    def _cached(self, verb: str, part: str) -> str:
        """Return a folder of rows that were tokenised ahead."""
        folder = self.folder / f"cached-{verb}" / part
        folder.mkdir(parents=True, exist_ok=True)
        found = {"part": part, "datasets": [{"name": "file", "path": self.rows(verb)}], "validation_ratio": 0.01, "seed": 42}
        (folder / "rows.json").write_text(json.dumps(found))
        return str(folder)

    def file(self, path: str) -> str:
        """Return a copy of a YAML file with what it names replaced."""
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        values.pop("use_ray", None)  # Ray may not be installed
        verb = str(values.get("rlhf_type") or "sft")
        self._file_experts = self.experts = "expert_model_parallel_size" in values
        for name, value in list(values.items()):
            if name in ("dataset", "val_dataset"):
                listed = value if isinstance(value, list) else [value]
                values[name] = [item if item.startswith("swift/self-cognition") else self._value(name, item, verb) for item in listed]
            elif isinstance(value, str):
                values[name] = self._value(name, value, verb)
        copy = self.folder / Path(path).name
        copy.write_text(yaml.safe_dump(values))
        return str(copy)

    def forget_file(self) -> None:
        """Begin with a command whose file, if it has one, is not read yet."""
        self._file_experts = False

    def _plugin(self) -> Path:
        """Return a file that defines the rewards and schedulers of the examples' plugin files, by their names."""
        plugin = self.folder / "plugin.py"
        plugin.write_text(
            "def reward(completions, **_):\n    return [0.0 for _ in completions]\n\n\n"
            "def reply(messages):\n    return None\n\n\n"
            f"orms = dict.fromkeys({_REWARDS!r}, reward)\nmulti_turns = dict.fromkeys({_SCHEDULERS!r}, reply)\n"
        )
        return plugin

    def _value(self, name: str, value: str, verb: str) -> str:
        if name in ("reward_model", "prm_model"):
            return str(self.reward_model)
        if name in ("model", "model_id_or_path", "model_name_or_path", "teacher_model", "ref_model", "load", "mcore_model"):
            return str(self.vlm if self._vision and name == "model" else self.mixture if self.experts else self.model)
        if name in ("decoder_first_pipeline_num_layers", "decoder_last_pipeline_num_layers") and self._stages > 1:
            return str(_LAYERS - (self._stages - 1) * ((_LAYERS - 1) // (self._stages - 1)))
        if name in ("adapters", "ckpt_dir", "adapter", "mcore_adapter"):
            alias, equals, _ = value.partition("=")
            return f"{alias}={self.adapter}" if equals else str(self.adapter)
        if name in ("cached_dataset", "cached_val_dataset"):
            return self._cached(verb, "train" if name == "cached_dataset" else "val")
        if name in ("dataset", "val_dataset", "dataset_name"):
            share = f"#{value.rpartition('#')[2]}" if re.search(r"#\d+$", value) else ""
            return f"{self.rows(verb)}{share}"
        if name in ("deepspeed", "config", "fsdp") and value.endswith(".json") and not Path(value).is_file():
            return "zero3" if "3" in Path(value).name else "zero2"
        if name == "new_special_tokens" and value.endswith(".txt"):
            tokens = self.folder / "tokens.txt"
            tokens.write_text("<a>\n<b>\n")
            return str(tokens)
        if name == "external_plugins":
            if verb in ("grpo", "gkd"):
                return str(self._plugin())
            plugin = self.folder / "plugin.py"
            plugin.write_text("from swift_core import hookimpl\n\n\n@hookimpl\ndef swift_check(run):\n    return ()\n")
            return str(plugin)
        return value


def _adapter(folder: Path, model: Path) -> Path:
    """Write an adapter without tensors."""
    folder.mkdir()
    config = {"peft_type": "LORA", "r": 8, "base_model_name_or_path": str(model)}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    (folder / "adapter_model.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")
    return folder


def _reward_model(folder: Path, model: Path) -> Path:
    """Write the configuration of a reward model, with the weights and the tokenizer of the tiny model."""
    shutil.copytree(model, folder)
    config = json.loads((model / "config.json").read_text())
    head = {"architectures": ["LlamaForSequenceClassification"], "id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}
    (folder / "config.json").write_text(json.dumps({**config, **head}))
    return folder


def _training(folder: Path, model: Path, rows: str) -> None:
    """Make the folder that of the training that made these checkpoints, with rows that it held out."""
    run = resolved("sft", {"model": str(model), "dataset": [rows], "device": "cpu", "plan": False})
    (folder / "run.json").write_text(json.dumps(run.to_json()))
    (folder / "held_out.json").write_text(json.dumps({"rows": [f"{rows}, row 1"]}))


def _mixture(folder: Path, model: Path, sizes: dict[str, int]) -> Path:
    """Write the configuration of a tiny mixture of experts, with empty weights and the tokenizer of the tiny model."""
    shutil.copytree(model, folder)
    config = json.loads((model / "config.json").read_text())
    known = {"architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "num_experts": 32, "num_experts_per_tok": 2}
    (folder / "config.json").write_text(json.dumps({**config, **sizes, **known, "moe_intermediate_size": 64, "head_dim": 16}))
    return folder


def absent(words: Sequence[str]) -> str:
    """Return what a command of ms-swift asks for that is not of this program: its verb or its task; '' if there is all."""
    if words[0] == "swift" and not (find_verb(words[1], registry()) or find_command(words[1])):
        return f"there is no command '{words[1]}'"
    flags = commands(shlex.join(words))[0].flags(2)
    known = {name.replace("-", "_") for spec in registry().all(TaskSpec) for name in (spec.name, *spec.also)}
    for name in _VERB_FLAGS:
        value = str(flags.get(name, "")).replace("-", "_")
        if value and value not in (*known, *_NO_TASK):
            return f"there is no task '{value}'"
    backend = str(flags.get("eval_backend", "native")).lower()
    return f"there is no evaluator '{backend}'" if words[1] == "eval" and backend in UNSUPPORTED_BACKENDS else ""


def outcome(words: Sequence[str]) -> Problem:
    """Resolve a command line; return the first error, without what is particular to it."""
    out, err = io.StringIO(), io.StringIO()
    before = dict(os.environ)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = invoke([*words, "--dry-run"])
    finally:
        os.environ.clear()
        os.environ.update(before)
    if code == 0:
        return Problem()
    lines = [line for line in err.getvalue().splitlines() if _CODE.search(line) or line.strip()]
    at = next((place for place, line in enumerate(lines) if line.lower().startswith(("error", "usage error"))), len(lines) - 1)
    reason = _HELP.sub("", " ".join(line.strip() for line in lines[at + 1 :])).strip()
    message = lines[at].strip() if lines else "?"
    return Problem(message[:220], reason or ("" if "there is no option" in message else message))


def command_lines(folder: Path) -> Iterator[tuple[str, list[str], dict[str, str]]]:
    """Yield the place, words and variables of each command line of `_PROGRAMS` in a folder's scripts and pages."""
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".sh":
            texts = [path.read_text(encoding="utf-8")]
        elif path.suffix == ".md":
            texts = _FENCE.findall(path.read_text(encoding="utf-8"))
        else:
            continue
        for text in texts:
            for command in commands(text):
                program = Path(command.words[0]).name
                if program in _PROGRAMS and len(command.words) > 2:
                    yield str(path.relative_to(folder)), [program, *command.words[1:]], dict(command.variables)


def ms_swift(folder: Path, stand_ins: StandIns) -> dict[str, Count]:
    """Count the commands by program and verb."""
    counts: dict[str, Count] = {}
    for place, words, variables in command_lines(folder):
        if words[0] == "trl" or any(word in ("...", "…") or word.startswith(("<", "$")) for word in words):
            continue
        if any(value == "xxx" and name.removeprefix("--") not in _REPLACED for name, value in pairwise(words)):
            continue
        if words[-1].startswith("--") and words[-1].removeprefix("--") in _TAKES_VALUE:
            continue  # a line that is cut by a comment or an argument in brackets
        if words[1] in _NEED_MODEL and not any(word.partition("=")[0] in _MODEL for word in words) and not words[2].endswith(".yaml"):
            continue  # a part of a command, which names no model
        at = words.index("--config") + 1 if "--config" in words else 2
        if at < len(words) and words[at].endswith((".yaml", ".yml", ".json")):
            file = next((each for each in (folder / words[at], (folder / place).parent / words[at]) if each.is_file()), None)
            if file is None:
                continue  # a file that is not there
            words[at] = str(file)
        count = counts.setdefault(" ".join(words[:2]), Count())
        found = {name: variables[name] for name in _VARIABLES if re.fullmatch(r"[\w.-]+", variables.get(name, ""))}
        if "$" in variables.get("NNODES", ""):  # what a scheduler sets
            found |= {"NPROC_PER_NODE": found.get("NPROC_PER_NODE", "8"), "NNODES": "2", "NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1"}
        with mock.patch.dict(os.environ, found):
            count.add(f"{place}: {shlex.join(words)[:300]}", _resolve(stand_ins, words))
    return counts


def _resolve(stand_ins: StandIns, words: Sequence[str]) -> Problem:
    if missing := absent(words):
        return Problem(missing, missing, absent=True)
    stand_ins.forget_file()
    replaced = stand_ins.words(
        [*words[:2], *(stand_ins.file(word) if word.endswith((".yaml", ".yml")) else word for word in words[2:6]), *words[6:]]
    )[1:]
    if words[0] == "megatron":
        try:
            replaced = swift_line(replaced, os.environ).words
            if "ray" in replaced:  # Ray may not be installed
                at = replaced.index("ray")
                replaced = [*replaced[: at - 1], *replaced[at + 1 :]]
        except SwiftError as error:
            return Problem(f"{error.where}: {error.message}", error.hint)
    return outcome(replaced)


def files(folder: Path, tool: str, stand_ins: StandIns) -> Count:
    """Count the YAML files of a tool."""
    count, importer = Count(), importers()[tool]
    for path in sorted([*folder.rglob("*.yaml"), *folder.rglob("*.yml")]):
        try:
            source = Source.read(path)
            if not isinstance(source.values, dict) or importer.probe(source) < 2:
                continue
            found = importer.read(source)[0]
        except (SwiftError, yaml.YAMLError) as error:
            count.add(str(path.relative_to(folder)), str(error)[:200])
            continue
        if find_verb(found.verb, registry()) is None:
            text = f"the task '{found.verb}'"
            count.add(str(path.relative_to(folder)), Problem(text, text, absent=True))
            continue
        if found.impossible:
            text = "; ".join(f"{item.key}: {item.reason}" for item in found.impossible)[:300]
            helpful = not any("no such key is known" in item.reason for item in found.impossible)
            count.add(str(path.relative_to(folder)), Problem(text, text if helpful else ""))
            continue
        count.add(str(path.relative_to(folder)), _run_file(yaml_file.text(found, path.name), found.verb, stand_ins))
    return count


def _run_file(text: str, verb: str, stand_ins: StandIns) -> Problem:
    values = yaml.safe_load(text)
    stand_ins.experts = bool(values.get("router_loss"))
    for key in ("model", "teacher", "ref_model"):
        if values.get(key):
            values[key] = str(stand_ins.mixture if stand_ins.experts else stand_ins.model)
    if values.get("adapter"):
        values["adapter"] = str(stand_ins.adapter)
    for key in ("dataset", "val_dataset"):
        if values.get(key):
            values[key] = [stand_ins.rows(verb)]
    for key in ("dataset_options", "datasets"):
        values.pop(key, None)
    parallel = values.get("parallel")
    if isinstance(parallel, dict) and isinstance(parallel.get("config"), str):
        values["parallel"] = {**{key: value for key, value in parallel.items() if key not in ("config", "name")}, "name": "zero2"}
        parallel = values["parallel"]
    sizes = [int(parallel.get(size) or 1) for size in _SIZES] if isinstance(parallel, dict) else [1]
    if "processes" not in values and prod(sizes) > 1:
        values["processes"] = prod(sizes)  # their launchers give the number
    values.pop("launcher", None)  # Ray may not be installed
    file = stand_ins.folder / "file.yaml"
    file.write_text(yaml.safe_dump(values))
    return outcome([verb, str(file)])


def trl(folder: Path, stand_ins: StandIns) -> Count:
    """Count the command lines of `trl VERB`."""
    count, importer = Count(), importers()["trl"]
    for place, words, _ in command_lines(folder):
        if words[0] != "trl" or {"...", "--config"} & {*words} or words[1] in ("env", "vllm-serve", "skills"):
            continue
        found = importer.read(Source(shlex.join(words)))
        if not found or found[0].impossible:
            problem = "; ".join(f"{item.key}: {item.reason}" for item in found[0].impossible)[:300] if found else "no command is recognised"
        else:
            count.add(f"{place}: {shlex.join(words)[:300]}", _run_file(yaml_file.text(found[0], place), found[0].verb, stand_ins))
            continue
        count.add(f"{place}: {shlex.join(words)[:300]}", problem)
    return count


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for tool in ("ms-swift", "llama-factory", "axolotl", "trl"):
        parser.add_argument(f"--{tool}", type=Path, metavar="FOLDER")
    parser.add_argument("--list", type=Path, metavar="FILE", help="write what is refused to this file")
    asked = parser.parse_args()
    counts: dict[str, Count] = {}
    pretended = [
        mock.patch.object(engines, "device_kind", return_value="cuda"),
        mock.patch.object(strategy_checks, "device_kind", return_value="cuda"),
        mock.patch.object(preflight, "_kind", return_value="cuda"),
        mock.patch.object(preflight, "_installed", return_value=True),
        *(
            mock.patch.object(module, "engine_state", return_value=engines.EngineState(True))
            for module in (engines, strategy_checks, verb_checks)
        ),
    ]
    os.environ["HF_TOKEN"] = "hf_pretended"  # a token to upload with
    with tempfile.TemporaryDirectory() as name, chdir(name):
        for patch in pretended:
            patch.start()
        stand_ins = StandIns(Path(name))
        if asked.ms_swift:
            counts |= {f"ms-swift: {verb}": count for verb, count in sorted(ms_swift(asked.ms_swift.absolute(), stand_ins).items())}
        if asked.llama_factory:
            counts["LLaMA-Factory files"] = files(asked.llama_factory.absolute(), "llama-factory", stand_ins)
        if asked.axolotl:
            counts["axolotl files"] = files(asked.axolotl.absolute(), "axolotl", stand_ins)
        if asked.trl:
            counts["trl commands"] = trl(asked.trl.absolute(), stand_ins)
    for title, count in counts.items():
        print(count.line(title))
    if asked.list:
        reasons: Counter[str] = sum((count.refused + count.absent for count in counts.values()), Counter())
        common = "\n".join(f"{number:4}  {reason}" for reason, number in reasons.most_common())
        asked.list.write_text(common + "\n\n" + "\n".join(line for count in counts.values() for line in count.listed) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
