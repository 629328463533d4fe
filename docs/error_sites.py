"""The calls in the sources that make an error: with what code, message and remedy, found by their syntax trees."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TypeGuard

from source_trees import tree_of

ROOT = Path(__file__).parent.parent
_SOURCES = ("swift_core/**/*.py", "plugins/*/src/**/*.py", "contrib/*/src/**/*.py", "contrib/*/*.py")
_SEEDS = {"SwiftError", "Problem"}
_PARTS = {"Problems"}  # made of errors that have codes of their own


@dataclass(frozen=True)
class Site:
    """A call that makes an error."""

    file: str
    call: ast.Call
    code: str  # '' where it has none
    passed: bool  # the code is that of another error
    messages: tuple[str, ...]  # the templates of its message; several where a variable holds one of several
    hints: tuple[str, ...]
    about: str  # the docstring above it, for a message that is filled in as a whole

    @property
    def causes(self) -> tuple[str, ...]:
        """The messages, or what is known beside them if they have no words of their own."""
        return self.messages if says_something(self.messages) or not self.about else (self.about,)


@dataclass
class _Module:
    file: str
    tree: ast.Module
    parents: dict[ast.AST, ast.AST]

    @classmethod
    def read(cls, path: Path) -> _Module:
        tree = tree_of(path)
        parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        return cls(path.relative_to(ROOT).as_posix(), tree, parents)

    def above(self, node: ast.AST) -> Iterator[ast.AST]:
        while node in self.parents:
            node = self.parents[node]
            yield node


@cache
def _modules() -> tuple[_Module, ...]:
    paths = {path for pattern in _SOURCES for path in ROOT.glob(pattern) if not {"tests", "template"} & set(path.parts)}
    return tuple(_Module.read(path) for path in sorted(paths))


@cache
def sites() -> list[Site]:
    """Return all calls that make an error, in the order of files and lines."""
    classes = _error_classes()
    coded = {name for name, own in classes.items() if own} | {name for name in _functions() if not name.startswith("_")}
    found = []
    for module in _modules():
        local = coded | {name for name, file in _functions().items() if file == module.file}
        for node in module.parents:
            if isinstance(node, ast.Call) and (name_of(node.func) in local or _is_super(module, node, classes)):
                found.append(_site(module, node))
    return sorted(found, key=lambda site: (site.file, site.call.lineno, site.call.col_offset))


def _error_classes() -> dict[str, bool]:
    """Name → whether its calls may have a code, of every class of errors."""
    defined = [node for module in _modules() for node in module.parents if isinstance(node, ast.ClassDef)]
    known = dict.fromkeys(_SEEDS, True)
    for _ in range(4):  # as deep as they are derived from one another
        for node in defined:
            bases = {name_of(base) for base in node.bases} & set(known)
            if bases and node.name not in known:
                init = next((item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"), None)
                known[node.name] = _takes_code(init) if init else all(known[base] for base in bases)
    return {name: own for name, own in known.items() if name not in _PARTS}


@cache
def _functions() -> dict[str, str]:
    """Name → file of the functions and other classes that take the code of an error."""
    found = {}
    for module in _modules():
        for node in module.parents:
            if isinstance(node, ast.FunctionDef) and _takes_code(node):
                owner = module.parents[node]
                name = owner.name if node.name == "__init__" and isinstance(owner, ast.ClassDef) else node.name
                found[name] = module.file
    return {name: file for name, file in found.items() if name not in _SEEDS and name != "_rebuild"}


def _takes_code(function: ast.FunctionDef) -> bool:
    return any(arg.arg == "code" and arg.annotation and ast.unparse(arg.annotation) == "str" for arg in function.args.kwonlyargs)


def _is_super(module: _Module, node: ast.Call, classes: dict[str, bool]) -> bool:
    """Whether the call is `super().__init__(…)` of a class of errors that gives its errors one code."""
    if not (isinstance(node.func, ast.Attribute) and node.func.attr == "__init__" and ast.unparse(node.func.value) == "super()"):
        return False
    owner = next((each for each in module.above(node) if isinstance(each, ast.ClassDef)), None)
    return owner is not None and classes.get(owner.name) is False


def _site(module: _Module, call: ast.Call) -> Site:
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    code = named.get("code")
    literal = code.value if isinstance(code, ast.Constant) and isinstance(code.value, str) else ""
    message = named.get("message") or message_of(call)
    hints = _texts(module, call, named["hint"]) if "hint" in named else ()
    messages = _texts(module, call, message) if message else ()
    return Site(module.file, call, literal, code is not None and not literal, messages, hints, _doc(module, call))


def says_something(messages: tuple[str, ...]) -> bool:
    """Return whether the messages have words of their own, beside what is filled in."""
    return any(re.search(r"[a-z]{3}", re.sub(r"\{[^}]*\}", "", text)) for text in messages)


def _doc(module: _Module, call: ast.Call) -> str:
    """Return the first line of the nearest docstring above a call, of a class or function."""
    nodes = (node for node in module.above(call) if isinstance(node, ast.FunctionDef | ast.ClassDef))
    return next((doc.splitlines()[0] for node in nodes if (doc := ast.get_docstring(node))), "")


def message_of(call: ast.Call) -> ast.expr | None:
    """The message among the positional arguments: the first, or, after a JSON path, the second."""
    return call.args[1] if name_of(call.func) == "Wrong" else next(iter(call.args), None)


def _texts(module: _Module, call: ast.Call, node: ast.expr, depth: int = 3) -> tuple[str, ...]:
    """Return the texts that an expression may have, with `{name}` for what is only known later."""
    inside = partial(_texts, module, call, depth=depth - 1)
    match node:
        case ast.Constant():
            return (str(node.value),)
        case ast.JoinedStr():
            return ("".join(str(part.value) if isinstance(part, ast.Constant) else _hole(part) for part in node.values),)
        case ast.IfExp():
            return inside(node.body) + inside(node.orelse)
        case ast.BoolOp():
            return tuple(text for value in node.values for text in inside(value))
        case ast.BinOp(op=ast.Add()):
            return tuple(a + b for a in inside(node.left) for b in inside(node.right))
        case ast.Name() if depth > 0 and (values := _values(module, call, node.id)):
            return tuple(dict.fromkeys(text for value in values for text in inside(value)))
        case ast.Subscript(value=ast.Name(id=name)) if (values := _values(module, call, name)) and isinstance(values[0], ast.Dict):
            return tuple(text for value in values[0].values for text in inside(value))
    return (_hole(node),)


def _values(module: _Module, call: ast.Call, name: str) -> list[ast.expr]:
    """Return what a name may hold at the call: the assignments before it, back to one that is certain."""
    found: list[ast.expr] = []
    node: ast.AST = call
    for parent in module.above(call):
        for block in (getattr(parent, field, None) for field in ("body", "orelse", "finalbody")):
            if not isinstance(block, list) or node not in block:
                continue
            for before in reversed(block[: block.index(node)]):
                found += filter(None, (_assigned(each, name) for each in ast.walk(before) if _assigns(each, name)))
                if _assigns(before, name):
                    return found
        if isinstance(parent, ast.If | ast.While):
            found += filter(None, (_assigned(each, name) for each in ast.walk(parent.test) if _assigns(each, name)))
        node = parent
    return found


def _assigns(node: ast.AST, name: str) -> TypeGuard[ast.Assign | ast.AnnAssign | ast.NamedExpr]:
    return isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) and _assigned(node, name) is not None


def _assigned(node: ast.Assign | ast.AnnAssign | ast.NamedExpr, name: str) -> ast.expr | None:
    """Return the expression that a name gets, also as one of several: `message, hint = "…", "…"`."""
    for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
        if isinstance(target, ast.Name) and target.id == name:
            return node.value
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple) and len(target.elts) == len(node.value.elts):
            for each, value in zip(target.elts, node.value.elts, strict=True):
                if isinstance(each, ast.Name) and each.id == name:
                    return value
    return None


def _hole(node: ast.expr) -> str:
    inner = node.value if isinstance(node, ast.FormattedValue) else node
    return f"{{{ast.unparse(inner)}}}" if isinstance(inner, ast.Name | ast.Attribute) else "{…}"


def name_of(node: ast.expr) -> str:
    """Return the name that a call or a base class is written with, without its module; '' for one of click."""
    if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "click":
        return ""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
