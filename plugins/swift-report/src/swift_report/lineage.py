"""The section `lineage`: what was made of what, back to the first checkpoint, with the data that each step used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from markupsafe import Markup
from swift_provenance.lineage import maker_of

from swift_core.checkpoints import Checkpoint, Manifest
from swift_core.contract import Run, Source, SwiftError
from swift_core.plugins import verb_named
from swift_core.system import made_by, read_run
from swift_report.parts import joined, short_hash
from swift_report.runs import ReportedRun


@dataclass(slots=True)
class Node:
    """A checkpoint, or the result of a run: what it is, how it was made, and what was made of it."""

    label: str
    what: str = ""  # 'model', 'adapter', 'scores', …
    made: str = ""  # verb and parts of the run that made it
    hash: str = ""
    data: tuple[str, ...] = ()  # the data sets of the run that made it
    here: bool = False  # it was made by a run of this report
    children: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class Tree:
    """Nodes by key: the content hash of a checkpoint, else its path."""

    nodes: dict[str, Node] = field(default_factory=dict)
    roots: list[Node] = field(default_factory=list)

    def add(self, key: str, node: Node, parent: Node | None) -> Node:
        """Add a node below another one, or as a root; return the node that has this key."""
        if key not in self.nodes:
            self.nodes[key] = node
            (parent.children if parent else self.roots).append(node)
        return self.nodes[key]

    def checkpoint(self, reference: str, path: str, digest: str) -> Node:
        """Add a checkpoint and those that it was made of."""
        if found := self.nodes.get(digest or path):
            return found
        folder = Path(path)
        manifest, maker = _manifest(folder), _maker(folder)
        parent = None
        if manifest and (manifest.base.get("path") or manifest.base.get("reference")):
            parent = self.checkpoint(manifest.base.get("reference", ""), manifest.base.get("path", ""), manifest.base.get("hash", ""))
        what = manifest.kind if manifest else "model"
        made = _made(maker) if maker else ""
        return self.add(digest or path, Node(_label(reference or path), what, made, digest, _data(maker)), parent)

    def run(self, reported: ReportedRun) -> None:
        """Add the result of a run below what it started from."""
        run = reported.run
        if run is None:
            return
        source: Source | None = next(iter(run.adapters.values()), run.model)
        parent = self.checkpoint(source.reference, source.path, source.hash) if source else None
        output = made_by(reported.folder)
        manifest = _manifest(output) if output else None
        what = manifest.kind if manifest else _gives(run)
        node = Node(reported.name, what, _made(run), manifest.hash if manifest else "", _data(run), here=True)
        if (found := self.add(node.hash or str(reported.folder), node, parent)) is not node:  # a later run has used it
            found.label, found.here = reported.name, True


def content(runs: Sequence[ReportedRun]) -> Markup:
    """Return a tree of checkpoints and results."""
    tree = Tree()
    for run in runs:
        tree.run(run)
    return Markup('<div class="lineage">{}</div>').format(_list(tree.roots)) if tree.roots else Markup("")


def _list(nodes: Sequence[Node]) -> Markup:
    return Markup("<ul>{}</ul>").format(joined(_item(node) for node in nodes)) if nodes else Markup("")


def _item(node: Node) -> Markup:
    made = Markup('<span class="made">{}</span> ').format(node.made) if node.made else ""
    data = joined(Markup('<span class="data">{}</span> ').format(each) for each in node.data)
    digest = short_hash(node.hash) if node.hash else ""
    return Markup('<li>{}{}<div class="node{}"><b>{}</b> <span>{}</span> {}</div>{}</li>').format(
        made, data, " here" if node.here else "", node.label, node.what, digest, _list(node.children)
    )


def _manifest(folder: Path) -> Manifest | None:
    try:
        return Checkpoint.at(folder).manifest if folder.is_dir() else None
    except SwiftError:
        return None


def _maker(folder: Path) -> Run | None:
    """Return the run whose folder a checkpoint is in: RUN/output, or RUN/checkpoints/step-…/model."""
    try:
        made_in = maker_of(folder)
        return read_run(made_in) if made_in else None
    except (SwiftError, ValueError, TypeError, KeyError):
        return None


def _made(run: Run) -> str:
    names = [choice.name for part, choice in run.parts.items() if part in ("tuner", "quantizer", "exporter", "evaluator", "backend")]
    return f"{run.verb}: {', '.join(names)}" if names else run.verb


def _data(run: Run | None) -> tuple[str, ...]:
    return tuple(f"{choice.asked} · {choice.hash[:12]}" if choice.hash else choice.asked for choice in run.datasets) if run else ()


def _gives(run: Run) -> str:
    try:
        return str(verb_named(run.verb, where="verb").gives or "result")
    except SwiftError:
        return "result"


def _label(reference: str) -> str:
    """Return a reference without the folders that it is in: the run folder and what is in it, or the last part."""
    scheme, _, path = reference.rpartition(":") if not reference.startswith("/") else ("file", "", reference)
    if scheme not in ("", "file"):
        return reference
    parts = Path(path).parts
    return "/".join(parts[-2:] if parts[-1:] == ("output",) else parts[-1:]) or reference
