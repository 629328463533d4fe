"""The picture of docs/explanation/architecture.md: rooms of the core, libraries and plugins, each with arrows to what it imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from source_trees import tree_of

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/explanation/architecture.md"
BEGIN, END = "<!-- Picture: written by docs/generate.py from the imports. -->\n", "<!-- End of the picture. -->\n"
PLUGINS = "swift_plugins"

TITLES = {"outside": "libraries and plugins (swift_plugins: every swift-plugin-*)", "core": "swift_core"}

Graph = Mapping[str, frozenset[str]]


@cache
def core() -> Graph:
    """Return room → the rooms that it imports, of the core; `api` is the module of that name."""
    folder = ROOT / "swift_core"
    rooms = {path.name: path for path in folder.iterdir() if (path / "__init__.py").is_file()} | {"api": folder / "api.py"}
    return {room: frozenset(_imported("swift_core.", path, set(rooms)) - {room}) for room, path in rooms.items()}


@cache
def libraries() -> Graph:
    """Return library → the libraries that it imports, with all plugins as one."""
    folders = {path.name.replace("-", "_"): path / "src" for path in sorted((ROOT / "plugins").iterdir()) if (path / "src").is_dir()}
    names = {name for name in folders if not name.startswith("swift_plugin_")}
    graph = {name: _imported("", folders[name], names) - {name} for name in names}
    used = [_imported("", path, names) for name, path in folders.items() if name not in names]
    return {name: frozenset(found) for name, found in (graph | {PLUGINS: set().union(*used)}).items()}


def reduced(graph: Graph) -> dict[str, list[str]]:
    """Return the graph without the arrows that follow from others."""
    below = {name: _reached(graph, name) for name in graph}
    return {name: sorted(end for end in ends if not any(end in below[other] for other in ends - {end})) for name, ends in graph.items()}


def picture() -> str:
    """Return the picture as a Mermaid graph."""
    lines = ["```mermaid", "graph TD"]
    for title, graph in (("outside", libraries()), ("core", core())):
        lines.append(f'    subgraph {title}["{TITLES[title]}"]')
        arrows = reduced(graph)
        lines += [f"        {name}" for name in sorted(arrows) if not arrows[name] and not any(name in ends for ends in arrows.values())]
        lines += [f"        {name} --> {' & '.join(ends)}" for name, ends in sorted(arrows.items()) if ends]
        lines.append("    end")
    return "\n".join([*lines, "    outside --> core", "```", ""])


def contents() -> str:
    """Return a table of the rooms and libraries, each with the first line of its docstring."""
    rooms = [(f"swift_core.{name}", ROOT / "swift_core" / name / "__init__.py") for name in core()]
    found = [(name, ROOT / "plugins" / name.replace("_", "-") / "src" / name / "__init__.py") for name in libraries()]
    rows = [f"| `{name}` | {_summary(file)} |\n" for name, file in sorted(rooms) + sorted(found) if file.is_file()]
    return "".join(["\n| package | what it holds |\n|---|---|\n", *rows])


def page() -> str:
    """Return the page with the picture and the table as they are now."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    return before + BEGIN + picture() + contents() + END + rest.split(END)[1]


def _summary(file: Path) -> str:
    """Return the first paragraph of a module's docstring, on one line."""
    doc = ast.get_docstring(tree_of(file)) or ""
    return " ".join(doc.split("\n\n")[0].split())


def _imported(prefix: str, path: Path, names: set[str]) -> set[str]:
    """Return which of the names, behind the prefix, a module or the modules of a folder import."""
    files = [path] if path.is_file() else sorted(path.rglob("*.py"))
    modules = (module for file in files if "template" not in file.parts for module in _modules(file))
    parts = (module.removeprefix(prefix).split(".")[0] for module in modules if module.startswith(prefix))
    return names & set(parts)


def _modules(file: Path) -> Iterator[str]:
    """Yield what a file imports when it runs, and not for annotations alone."""
    todo: list[ast.AST] = [tree_of(file)]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        todo += (child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt | ast.excepthandler | ast.match_case))
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _reached(graph: Graph, start: str) -> set[str]:
    """Return what can be reached from a name in one step or more."""
    found: set[str] = set()
    todo = list(graph[start])
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += graph[name]
    return found
