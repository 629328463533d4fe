"""The picture of docs/explanation/architecture.md shows the imports there are: no arrow too many, and none missing."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/explanation/architecture.md").read_text(encoding="utf-8")
LIBRARIES = sorted(
    path.name.replace("-", "_")
    for path in (ROOT / "plugins").glob("swift-*")
    if path.is_dir() and not path.name.startswith("swift-plugin-")
)
PLUGINS = sorted(path.parent.name for path in ROOT.glob("plugins/swift-plugin-*/src/*/__init__.py"))


def drawn(title: str) -> tuple[set[str], set[tuple[str, str]]]:
    """The boxes and arrows of a subgraph."""
    block = re.search(rf"subgraph {title}\[.*?\n(.*?)\n    end\n", PAGE, flags=re.DOTALL)
    assert block
    boxes, arrows = set(), set()
    for line in block[1].splitlines():
        start, _, ends = line.strip().partition(" --> ")
        boxes |= {start, *filter(None, ends.split(" & "))}
        arrows |= {(start, end) for end in filter(None, ends.split(" & "))}
    return boxes, arrows


def closure(arrows: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The arrows, and those that follow from them."""
    while more := {(a, d) for a, b in arrows for c, d in arrows if b == c} - arrows:
        arrows = arrows | more
    return arrows


def imports(packages: list[str], box) -> set[tuple[str, str]]:
    """The imports between boxes, as import-linter sees them; `box` gives the box of a module, or ''."""
    graph = grimp.build_graph(*packages, exclude_type_checking_imports=True, cache_dir=None)
    found = {(box(start), box(end)) for start in graph.modules for end in graph.find_modules_directly_imported_by(start)}
    return {(start, end) for start, end in found if start and end and start != end}


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and (parts[1] == "api" or (ROOT / "swift_core" / parts[1]).is_dir()) else ""


def package(module: str) -> str:
    name = module.split(".", maxsplit=1)[0]
    return name if name in LIBRARIES else "swift_plugins" if name in PLUGINS else ""


@pytest.mark.parametrize(("title", "packages", "box"), [("core", ["swift_core"], room), ("outside", [*LIBRARIES, *PLUGINS], package)])
def test_the_picture_shows_the_imports(title, packages, box):
    boxes, arrows = drawn(title)
    real = imports(packages, box)
    assert boxes == {box(module) for module in grimp.build_graph(*packages, cache_dir=None).modules} - {""}
    assert arrows <= real, f"drawn, but not imported: {sorted(arrows - real)}"
    assert real <= closure(arrows), f"imported, but not drawn: {sorted(real - closure(arrows))}"


def test_nothing_is_imported_in_a_circle():
    for title in ("core", "outside"):
        assert not {start for start, end in closure(drawn(title)[1]) if start == end}


SOURCES = [ROOT / "swift_core", *ROOT.glob("plugins/*/src"), *ROOT.glob("contrib/*/src"), ROOT / "docs" / "examples"]


def entered(file: Path) -> set[str]:
    """The modules inside rooms of the core that a file of another room, or of another distribution, imports from."""
    own = file.relative_to(ROOT).parts[1] if file.is_relative_to(ROOT / "swift_core") else ""
    nodes = [node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {
        name for node in nodes for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names])
    }
    inside = {name for name in names if name.startswith("swift_core.") and name.count(".") > 1}
    return {name for name in inside if name.split(".")[1] != own}


def test_a_room_is_entered_through_its_door():
    files = [file for folder in SOURCES for file in sorted(folder.rglob("*.py"))]
    assert len(files) > 300
    found = {str(file.relative_to(ROOT)): modules for file in files if (modules := entered(file))}
    assert found.pop("swift_core/start.py", set()) <= {"swift_core.contract.version"}  # for speed
    assert not found, "import from the package itself, which exports its public names"


def door(room: str) -> dict[str, str]:
    """What the stub of a room exports to type checkers: name → module."""
    text = (ROOT / "swift_core" / room / "__init__.pyi").read_text(encoding="utf-8")
    imports = [node for node in ast.parse(text).body if isinstance(node, ast.ImportFrom)]
    assert all(each.asname == each.name for node in imports for each in node.names), "a name is exported as itself"
    return {each.name: str(node.module) for node in imports for each in node.names}


ROOMS = sorted(path.parent.name for path in (ROOT / "swift_core").glob("*/__init__.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_a_door_exports_the_names_of_its_stub(room):
    package = importlib.import_module(f"swift_core.{room}")
    assert dir(package) == sorted(door(room))
    for name, module in door(room).items():
        assert module.startswith(f"swift_core.{room}.")
        assert getattr(package, name) is getattr(importlib.import_module(module), name)


def test_the_core_is_small():
    files = sorted([*(ROOT / "swift_core").rglob("*.py"), *(ROOT / "swift_core").rglob("*.pyi")])
    assert sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files) <= 8_000
    assert len(ROOMS) <= 12
    assert {file.stem for file in files if file.parent.name == "swift_core"} == {"__init__", "api", "lazy", "start"}
