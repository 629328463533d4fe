"""Optional members of what plugins build are contract: Protocols or flags of specs, never probed by name."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from swift_convert import roles as convert_roles
from swift_train import roles as train_roles, strategy, tasks

from swift_core.contract import roles, specs, verb

ROOT = Path(__file__).parent.parent
SOURCES = [ROOT / "swift_core", *sorted((ROOT / "plugins").glob("*/src")), *sorted((ROOT / "contrib").glob("*/src"))]
ROLES: list[ModuleType] = [roles, train_roles, convert_roles, tasks]
# variables that hold what a plugin has built or answered
BUILT = {
    "backend", "built", "callback", "choice", "encoder", "evaluator", "exporter", "family", "hub", "launcher", "loader", "optimizer",
    "quantizer", "spec", "strategy", "task", "tuner", "verb",
}  # fmt: skip


def members() -> set[str]:
    """Return the public members of all roles and the fields of all specs."""
    found: set[str] = set()
    for module in (*ROLES, strategy):
        for value in vars(module).values():
            if is_protocol(value):
                found |= {*inspect.get_annotations(value), *(name for name in vars(value) if not name.startswith("_"))}
    for module in (specs, verb):
        found |= {field.name for value in vars(module).values() if is_spec(value) for field in dataclasses.fields(value)}
    return found


def is_protocol(value: Any) -> bool:
    return inspect.isclass(value) and bool(getattr(value, "_is_protocol", False))


def is_spec(value: Any) -> bool:
    return inspect.isclass(value) and issubclass(value, specs.Named)


def is_built(node: ast.expr, local: set[str]) -> bool:
    """Return whether an expression is what a plugin built: a call of `build`, a variable with its result, or one named after a role."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Attribute) and node.func.attr == "build"
    if isinstance(node, ast.Attribute):
        return node.attr.lstrip("_") in BUILT
    return isinstance(node, ast.Name) and (node.id in local or node.id.lstrip("_") in BUILT)


def probes(source: str, known: set[str]) -> Iterator[tuple[int, str]]:
    """Yield line and text of each `getattr` or `hasattr` with a constant name on what a plugin built, or of a member of a role or spec."""
    tree = ast.parse(source)
    for function in [tree, *(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))]:
        bound = [node for node in ast.walk(function) if isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) and node.value]
        local = set() if function is tree else {
            target.id
            for node in bound
            if is_built(node.value, set())  # type: ignore[arg-type]
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name)
        }  # fmt: skip
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("getattr", "hasattr"):
                thing, name = node.args[:2]
                if isinstance(name, ast.Constant) and (name.value in known or is_built(thing, local)):
                    yield node.lineno, ast.unparse(node)


def test_no_member_of_a_plugins_object_is_probed_by_name() -> None:
    """Replace such a call by `isinstance` with a runtime-checkable Protocol in the roles of its library, or by a flag on the spec."""
    known = members()
    assert {"max_kl", "report_to", "prepare", "speaking_as", "isolated", "when"} <= known
    found = {
        f"{file.relative_to(ROOT)}:{line}: {text}"
        for folder in SOURCES
        for file in sorted(folder.rglob("*.py"))
        if "template" not in file.parts
        for line, text in probes(file.read_text(encoding="utf-8"), known)
    }
    assert not found, "\n".join(sorted(found))


@pytest.mark.parametrize(
    "code",
    [
        "getattr(exporter, 'anything', None)",
        "hasattr(self.tuner, 'anything')",
        "getattr(subject.build(), 'anything', False)",
        "def f(run):\n    made = run.part('tuner').build()\n    return hasattr(made, 'anything')",
        "getattr(thing, 'max_kl', 0)",
        "getattr(entry.spec, 'anything', ())",
    ],
)
def test_a_probe_is_found(code: str) -> None:
    assert list(probes(code, {"max_kl"}))


@pytest.mark.parametrize("code", ["getattr(module, '__file__', None)", "getattr(spec, name)", "hasattr(config, 'quantization_config')"])
def test_other_objects_are_not_meant(code: str) -> None:
    assert not list(probes(code, {"max_kl"}))


def optional_roles() -> list[Any]:
    return [
        value
        for module in ROLES
        for value in vars(module).values()
        if is_protocol(value) and any(is_protocol(base) and base.__name__ != "Protocol" for base in value.__mro__[1:])
    ]


@pytest.mark.parametrize("role", optional_roles(), ids=lambda role: role.__name__)
def test_an_optional_role_is_checked_by_isinstance(role: Any) -> None:
    assert role._is_runtime_protocol
    uses = [file for folder in SOURCES for file in folder.rglob("*.py") if f", {role.__name__})" in file.read_text(encoding="utf-8")]
    assert any(file.parent.name != "checks" for file in uses), f"nothing asks whether an object is a {role.__name__}"
