"""Every argument of TRL's configurations and of transformers' TrainingArguments is read, or refused with a reason."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest
from swift_plugin_import.importer import importers
from swift_plugin_import.keys import Keys
from swift_plugin_import.source import Source

PLACES = {  # class → its module, and the task that it configures
    "TrainingArguments": ("transformers", "training_args.py", ""),
    "SFTConfig": ("trl", "trainer/sft_config.py", "sft"), "DPOConfig": ("trl", "trainer/dpo_config.py", "dpo"),
    "KTOConfig": ("trl", "trainer/kto_config.py", "kto"), "RewardConfig": ("trl", "trainer/reward_config.py", "reward"),
    "GRPOConfig": ("trl", "trainer/grpo_config.py", "grpo"), "RLOOConfig": ("trl", "trainer/rloo_config.py", "rloo"),
    "ModelConfig": ("trl", "trainer/model_config.py", "sft"), "ScriptArguments": ("trl", "scripts/utils.py", "sft"),
}  # fmt: skip
INTERNAL = {"_n_gpu", "_VALID_DICT_FIELDS", "framework"}
VALUES = {"bool": True, "int": 3, "float": 0.5, "str": "x", "list": ["x"], "dict": {"a": 1}}


def arguments(name):
    """The fields of a dataclass and the word that begins their type, read from its source."""
    library, path, _ = PLACES[name]
    file = Path(importlib.util.find_spec(library).origin).parent / path
    (found,) = (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ClassDef) and node.name == name)
    fields = [node for node in found.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)]
    return {node.target.id: ast.unparse(node.annotation) for node in fields if node.target.id not in INTERNAL}


def translated(keys, task):
    tool = "trl" if task else "training-arguments"
    own = {"model_name_or_path": "acme/moon", **({"trl_task": task, "dataset_name": "acme/rows"} if task else {})}
    return importers()[tool].translate(Keys({**own, **keys}), Source(""))


@pytest.mark.parametrize("name", PLACES)
def test_every_argument_is_known(name):
    task = PLACES[name][2]
    fields = arguments(name)
    assert len(fields) > 4
    unknown = []
    for field, kind in fields.items():
        value = next((example for word, example in VALUES.items() if word in kind), "x")
        found = translated({field: value}, task)
        listed = {item.key.partition(".")[0]: item.reason for item in (*found.dropped, *found.impossible)}
        if listed.get(field, "") == "no such key is known":
            unknown.append(field)
        elif field not in listed and not any(field in setting.origin for setting in found.settings.values()):
            unknown.append(f"{field} is lost")
    assert not unknown


def names_in_code():
    """The texts in the importers' code that may be keys of a file."""
    found = set()
    for path in (Path(__file__).parents[1] / "src/swift_plugin_import").rglob("*.py"):
        constants = (node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant))
        found |= {text for text in constants if isinstance(text, str) and text.isidentifier() and text.islower()}
    return found


ODD = ["x", -1, ["x", 2], {"x": 1}, True]
TOOLS = ["llama-factory", "axolotl", "trl", "training-arguments"]


@pytest.mark.parametrize("tool", TOOLS)
def test_values_of_an_unexpected_type_are_no_crash(tool):
    """All keys at once with a text, a number, a list, a mapping: each is set, dropped or refused."""
    importer = importers()[tool]
    for value in ODD:
        importer.translate(Keys(dict.fromkeys(sorted(names_in_code() | {*importer.table.options}), value)), Source(""))
