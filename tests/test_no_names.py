"""The core names no verb, plugin, distribution or implementation of ours, except in docstrings: it belongs to its plugin."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from swift_core.contract import HubSpec
from swift_core.plugins import KINDS, entry_points, registry, verbs

CORE = Path(__file__).parent.parent / "swift_core"
# Words of the contract that happen to be names as well; each may occur anywhere in the core.
WORDS = {
    "run": "a key of YAML files, and a module of the contract",
    "sample": "what a term of a loss depends on",
    "runs": "the option that names the folder of run folders",
    "models": "an attribute of Server",
    "nodes": "an option, and an attribute of LauncherSpec",
    "datasets": "a field of Run",
    "hub": "a kind of part, and an option",
    "adapter": "an option, and a kind of checkpoint that is no whole model",
    "chat": "a kind of row, and a route of servers",
    "file": "what a verb gives, and the scheme of local paths",
    "fetch": "a module of the core",
    "formats": "a module of the core",
    "convert": "the name of the run that a loader's conversion is",
    "import": "what --trace writes of an import",
    "env": "swift env, which errors of environments suggest",
    "figures": "a field of results",
    "answers": "what a verb gives",
    "scores": "what a verb gives",
    "settings": "a module of the options",
    "lineage": "a module of checkpoints",
    "schema": "a field of records, and the JSON Schema of options",
}


def names() -> set[str]:
    known = registry()
    entries = [entry for spec in KINDS.values() for entry in known.entries(spec) if entry.plugin.distribution != "swift-core"]
    points = [point for group in ("swift.plugins", "swift.verbs", "swift.commands") for point in entry_points(group)]
    found = {name for entry in entries for name in (entry.spec.name, *entry.spec.also)}
    found |= {name for verb in verbs(known) for name in (verb.name, *verb.also)}
    found |= {scheme for spec in known.all(HubSpec) for scheme in spec.schemes}
    return found | {name for point in points if point.distribution != "swift-core" for name in (point.name, point.distribution)}


def constants(path: Path) -> Iterator[tuple[int, str]]:
    """The string constants of a file but its docstrings, with their lines."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    blocks = [node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
    docs = {id(node.body[0].value) for node in blocks if node.body and isinstance(node.body[0], ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.lineno, node.value


@pytest.fixture(scope="module")
def found() -> dict[str, set[str]]:
    """Name → the files of the core that have it as a constant."""
    ours, found = names(), dict[str, set[str]]()
    assert {"sft", "serve", "lora", "ddp", "adamw", "transformers", "swift-serve", "safetensors", "quantize"} <= ours
    for path in CORE.rglob("*.py"):
        for line, text in constants(path):
            for name in {text, *re.findall(r"\bswift ([a-z][a-z-]*)", text)} & ours:
                found.setdefault(name, set()).add(f"{path.relative_to(CORE)}:{line}")
    return found


def test_the_core_names_nothing_of_a_plugin(found):
    assert not {name: places for name, places in found.items() if name not in WORDS}
