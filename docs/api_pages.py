"""The API reference: a page per room of the core, from its door, and one per library, from the modules that other distributions import.

Read from the source, without importing it: names, docstrings, fields with types, defaults and descriptions, methods with signatures.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

from source_trees import tree_of

ROOT = Path(__file__).parent.parent
ROOMS = ("contract", "system", "plugins", "checkpoints", "environments", "options", "runs", "cli")
Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Assign | ast.AnnAssign
_ENTRY = re.compile(r"^    (\w+(?:, \w+)*): (.*)$")


@dataclass(frozen=True)
class Source:
    """A module's source and syntax tree."""

    name: str
    text: str
    tree: ast.Module = field(compare=False)

    def definitions(self) -> dict[str, Definition]:
        """Return what the module defines, by name, without private names."""
        found: dict[str, Definition] = {}
        for node in self.tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                found[node.name] = node
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                found[node.targets[0].id] = node
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found[node.target.id] = node
        return {name: node for name, node in found.items() if not name.startswith("_")}

    def imports(self) -> dict[str, tuple[str, str]]:
        """Return where imported names come from: name → (module, name there)."""
        nodes = [node for node in ast.walk(self.tree) if isinstance(node, ast.ImportFrom) and node.module]
        return {alias.asname or alias.name: (str(node.module), alias.name) for node in nodes for alias in node.names}

    def comment(self, node: ast.AST) -> str:
        """Return the comment at the end of a statement."""
        line = self.text.splitlines()[(getattr(node, "end_lineno", 1) or 1) - 1]
        return line[getattr(node, "end_col_offset", 0) :].partition("# ")[2].strip()


@cache
def source(module: str) -> Source | None:
    """Return the source of a module of this repository, or None if it has none."""
    path = module.replace(".", "/")
    for root in (ROOT, *(ROOT / "plugins").glob("*/src")):
        for file in (root / f"{path}.py", root / path / "__init__.py"):
            if file.is_file():
                text = file.read_text(encoding="utf-8")
                if (stub := file.with_suffix(".pyi")).is_file():  # the public names of a package
                    text += stub.read_text(encoding="utf-8")
                return Source(module, text, ast.parse(text))
    return None


def find(module: str, name: str) -> tuple[Source, Definition] | None:
    """Return the definition of a name, wherever the module imports it from."""
    here = source(module)
    if here is None:
        return None
    if name in (found := here.definitions()):
        return here, found[name]
    home = here.imports().get(name)
    return find(*home) if home and home != (module, name) else None


@cache
def libraries() -> dict[str, list[str]]:
    """Return the libraries with their public modules: the package, and what other distributions import of it."""
    names = sorted(
        path.name for folder in ROOT.glob("plugins/swift-*") if "plugin" not in folder.name for path in folder.glob("src/swift_*")
    )
    used: dict[str, set[str]] = {name: {name} for name in names}
    for file in [*ROOT.glob("plugins/*/src/**/*.py"), *ROOT.glob("contrib/*/src/**/*.py"), *ROOT.glob("docs/examples/*.py")]:
        own = "" if "template" in file.parts else file.relative_to(ROOT).parts[1].replace("-", "_")
        for node in ast.walk(tree_of(file)):
            if isinstance(node, ast.ImportFrom) and node.module and (library := node.module.partition(".")[0]) in used and library != own:
                inner = [f"{node.module}.{alias.name}" for alias in node.names if source(f"{node.module}.{alias.name}")]
                used[library] |= {*inner, *([] if len(inner) == len(node.names) else [node.module])}
    used["swift_train"].add("swift_train.tokenise")  # what an Encoder returns
    used["swift_testing"].add("swift_testing.rig")  # fixtures for tests of plugins
    return {name: sorted(module for module in modules if source(module)) for name, modules in used.items()}


def items(module: str) -> list[tuple[str, Source, Definition]]:
    """Return the public names of a module with their definitions: those of its door or its `__all__`, else those that it defines."""
    here = source(module)
    assert here is not None
    if "swift_core.lazy" in here.text:
        names = sorted(name for name, (home, _) in here.imports().items() if home.startswith(f"{module}."))
    else:
        names = _exported(here) or list(here.definitions())
    return [(name, *where) for name in names if (where := find(module, name))]


def _exported(here: Source) -> list[str]:
    for node in here.tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__":
            return sorted(ast.literal_eval(node.value))
    return []


@dataclass(frozen=True)
class Field:
    """A field of a class: its type and default as written, and its description."""

    name: str
    type: str
    default: str
    text: str


def fields(home: Source, node: ast.ClassDef) -> list[Field]:
    """Return the fields of a class, those of its bases first."""
    found: dict[str, Field] = {}
    for base in node.bases:
        where = find(home.name, ast.unparse(base))
        if where and isinstance(where[1], ast.ClassDef):
            found |= {each.name: each for each in fields(where[0], where[1])}
    described = dict(_entries(node))
    for each in node.body:
        if not isinstance(each, ast.AnnAssign) or not isinstance(each.target, ast.Name) or each.target.id.startswith("_"):
            continue
        name, kind = each.target.id, ast.unparse(each.annotation)
        if kind.startswith("ClassVar"):
            continue
        default, text = ast.unparse(each.value) if each.value else "", described.get(name) or home.comment(each)
        if isinstance(each.value, ast.Call) and ast.unparse(each.value.func) == "option" and len(each.value.args) > 1:
            default, text = ast.unparse(each.value.args[0]), _string(each.value.args[1])
        elif isinstance(each.value, ast.Call) and ast.unparse(each.value.func) == "field":
            made = {word.arg: ast.unparse(word.value) for word in each.value.keywords}
            default = made.get("default") or f"{made.get('default_factory', '')}()"
        found[name] = Field(name, kind, default, text)
    return [Field(each.name, each.type, each.default, described.get(each.name) or each.text) for each in found.values()]


def _string(node: ast.expr) -> str:
    try:
        return str(ast.literal_eval(node))
    except ValueError:
        return ""


def _entries(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """Yield the fields that a docstring describes in lines of their own, `    name: text`, with the text."""
    names: list[str] = []
    text = ""
    for line in [*(ast.get_docstring(node) or "").splitlines(), ""]:
        entry = _ENTRY.match(line)
        if names and line.startswith("        "):
            text += f" {line.strip()}"
            continue
        yield from ((name, text) for name in names)
        names, text = (entry[1].split(", "), entry[2]) if entry else ([], "")


def undescribed() -> list[str]:
    """Return the fields of public dataclasses that no docstring and no comment describes, as `module.Class.field`."""
    missing = []
    for module in [module for modules in _all().values() for module in modules]:
        for name, home, node in items(module):
            if isinstance(node, ast.ClassDef) and _kind(home, node) == "dataclass":
                text = ast.get_docstring(node) or ""
                missing += [
                    f"{home.name}.{name}.{each.name}" for each in fields(home, node) if not each.text and f"`{each.name}`" not in text
                ]
    return sorted(set(missing))


def _kind(home: Source, node: ast.ClassDef) -> str:
    bases = [ast.unparse(base) for base in node.bases]
    if any("dataclass" in ast.unparse(each) for each in node.decorator_list):
        return "dataclass"
    if "Protocol" in bases:
        return "Protocol"
    if "NamedTuple" in bases or "TypedDict" in bases:
        return next(base for base in bases if base in ("NamedTuple", "TypedDict"))
    return next(
        (
            kind
            for base in bases
            if (where := find(home.name, base))
            and isinstance(where[1], ast.ClassDef)
            and (kind := _kind(*where)) not in ("dataclass", "Protocol")
        ),
        "class",
    )


def page(title: str, modules: list[str], note: str) -> str:
    """Return the page of a room or a library."""
    parts = [f"# {title}\n\n", note]
    seen: set[tuple[str, str]] = set()
    for module in modules:
        here = source(module)
        assert here is not None
        public = [(name, home, node) for name, home, node in items(module) if (home.name, name) not in seen]
        seen |= {(home.name, name) for name, home, _ in public}
        if len(modules) > 1:
            parts.append(f"## {module}\n\n")
        parts.append(f"{_text(ast.get_docstring(here.tree) or '')}\n\n")
        values = [(name, home, node) for name, home, node in public if isinstance(node, ast.Assign | ast.AnnAssign)]
        parts += [_value(name, home, node) for name, home, node in values] + (["\n"] if values else [])
        for name, home, node in public:
            if isinstance(node, ast.ClassDef):
                parts += _class(name, home, node)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                parts += [f"### {name}\n\n", *_function(node)]
    return "".join(parts).rstrip() + "\n"


def _value(name: str, home: Source, node: ast.Assign | ast.AnnAssign) -> str:
    value = ast.unparse(node.value) if node.value else ""
    shown = f" = {value}" if len(value) <= 80 else ""
    kind = f": {ast.unparse(node.annotation)}" if isinstance(node, ast.AnnAssign) else ""
    comment = home.comment(node)
    return f"- `{name}{kind}{shown}`{': ' + comment if comment else ''}\n"


def _class(name: str, home: Source, node: ast.ClassDef) -> Iterator[str]:
    bases = ", ".join(base for base in map(ast.unparse, node.bases) if base not in ("Protocol", "NamedTuple", "TypedDict"))
    yield f"### {name}\n\n{_kind(home, node)}{f' ({bases})' if bases else ''}, in `{home.name}`\n\n"
    if text := ast.get_docstring(node):
        yield f"{_text(_without_entries(text, {each.name for each in fields(home, node)}))}\n\n"
    if shown := fields(home, node):
        yield "| field | type | default | description |\n|---|---|---|---|\n"
        yield from (f"| `{each.name}` | {_code(each.type)} | {_code(each.default)} | {_cell(each.text)} |\n" for each in shown)
        yield "\n"
    init = next((each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"), None)
    if init and not shown:
        yield f"```python\n{name}({_arguments(init)})\n```\n\n"
    for each in node.body:
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and not each.name.startswith("_"):
            yield from _function(each)


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    decorators = "".join(
        f"@{name}\n" for name in map(ast.unparse, node.decorator_list) if name in ("property", "classmethod", "contextmanager")
    )
    start = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    yield f"```python\n{decorators}{start} {node.name}({ast.unparse(node.args)}){returns}\n```\n\n"
    if text := ast.get_docstring(node):
        yield f"{_text(text)}\n\n"


def _arguments(node: ast.FunctionDef) -> str:
    return re.sub(r"^self(, )?", "", ast.unparse(node.args))


def _without_entries(text: str, names: set[str]) -> str:
    """Return a docstring without the lines that describe fields, which are in the table, and without headings that have nothing left."""
    kept: list[str] = []
    inside = False
    for line in text.splitlines():
        entry = _ENTRY.match(line)
        inside = bool(entry and set(entry[1].split(", ")) <= names) or (inside and line.startswith("        "))
        if not inside:
            kept.append(line)
    return re.sub(r"^\w[\w ]*:\n(?=\s*(\n|\Z))", "", "\n".join(kept) + "\n", flags=re.MULTILINE).strip()


def _text(text: str) -> str:
    """Return a docstring as Markdown: its arguments and errors as lists, indented code in a block."""
    text = re.sub(r"^(Args|Raises|Returns|Yields|Attributes):\n", r"\1:\n\n", text.strip(), flags=re.MULTILINE)
    text = re.sub(r"^    (\*{0,2}\w+(?:, \w+)*): ", r"- `\1`: ", text, flags=re.MULTILINE)
    return re.sub(r"^        (?=\S)", "  ", text, flags=re.MULTILINE)


def _code(text: str) -> str:
    return f"`{_cell(text)}`" if text else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def index(note: str) -> str:
    """Return the page that lists the others."""
    parts = ["# API\n\n", note, "What plugins may rely on, and for how long: [plugin API](../plugin-api.md).\n\n"]
    for title, modules in _all().items():
        here = source(modules[0])
        assert here is not None
        first = re.split(r"(?<=[.;])\s|\n\n", ast.get_docstring(here.tree) or "")[0].rstrip(";")
        names = [name for module in modules for name, _, node in items(module) if isinstance(node, ast.ClassDef)]
        parts.append(f"- [{title}]({_file(title)}): {' '.join(first.split())}\n")
        parts.append(f"  {', '.join(f'`{name}`' for name in dict.fromkeys(names))}\n" if names else "")
    return "".join(parts)


def _file(title: str) -> str:
    return f"{title.removeprefix('swift_core.')}.md"


def _all() -> dict[str, list[str]]:
    rooms = {f"swift_core.{room}": [f"swift_core.{room}"] for room in ROOMS}
    rooms["swift_core.contract"].append("swift_core.contract.roles")
    return {**rooms, **libraries()}


def pages(note: str) -> dict[str, partial[str]]:
    """Return the pages by path, each with the function that makes it."""
    made = {f"docs/reference/api/{_file(title)}": partial(page, title, modules, note) for title, modules in _all().items()}
    return {"docs/reference/api/index.md": partial(index, note), **made}
