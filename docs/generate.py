"""Writes the pages that come from the code (and swift_core/catalogue.toml); `--check` fails where one has drifted.

python docs/generate.py [--check]
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from functools import partial
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parent.parent
NOTE = "<!-- Written by docs/generate.py; change the code, then run `make docs`. -->\n\n"

os.environ["COLUMNS"] = "100"
os.environ["SWIFT_HOME"] = tempfile.mkdtemp()  # schemas are made anew, and the cache of whoever runs this is left alone

import api_pages  # noqa: E402
import error_codes  # noqa: E402
import hook_pages  # noqa: E402
import http_page  # noqa: E402
import import_graph  # noqa: E402
import task_page  # noqa: E402

from swift_core.cli import cli  # noqa: E402
from swift_core.contract import BackendSpec, ModelFamily, Spec, hookspecs  # noqa: E402
from swift_core.plugins import KINDS, commands_offered, entry_points, registry, verbs  # noqa: E402


def catalogue() -> str:
    """Kind → name → first-party distribution; also of commands."""
    lines = ["# Which first-party distribution offers what; written by docs/generate.py."]
    for kind, spec in KINDS.items():
        names = {
            name: entry.plugin.distribution
            for entry in registry().entries(spec)
            for name in (entry.spec.name, *entry.spec.also)
            if _first_party(entry.plugin.distribution)
        }
        if names:
            lines += ["", f"[{kind}]", *(f'"{name}" = "{home}"' for name, home in sorted(names.items()))]
    offers = {offer.name: offer.point.distribution for offer in commands_offered() if _first_party(offer.point.distribution)}
    lines += ["", "[command]", *(f'"{name}" = "{home}"' for name, home in sorted(offers.items()))]
    return "\n".join(lines) + "\n"


def _first_party(distribution: str) -> bool:
    return (ROOT / "plugins" / distribution).is_dir()


def install_words() -> str:
    """Verb or command → what pip installs for it: swift-core[standard] if that brings it, and the distributions with its main part."""
    standard = _standard()
    parts = dict(_first_party_commands())
    words = {name: ["swift-core[standard]" if home in standard else home] for name, home in parts.items()}
    for verb in verbs():
        if verb.main and verb.main not in verb.fixed:
            homes = {entry.plugin.distribution for entry in registry().entries(verb.main)}
            others = sorted(filter(_first_party, homes - standard - {parts[verb.name]}))
            for name in (verb.name, *verb.also):
                words[name] = [*(words[name] if homes & {*standard, parts[verb.name]} or not others else ()), *others]
    lines = [f'"{name}" = {json.dumps(found)}' for name, found in sorted(words.items())]
    return "\n".join(["# What pip installs for each verb and command; written by docs/generate.py.", "", *lines, ""])


def _first_party_commands() -> Iterator[tuple[str, str]]:
    for spec in registry().all("verb"):
        for entry in [*registry().entries("verb"), *registry().entries(spec.each)] if spec.each else registry().entries("verb"):
            if _first_party(entry.plugin.distribution):
                yield from ((name, entry.plugin.distribution) for name in (entry.spec.name, *entry.spec.also))
    for offer in commands_offered():
        if _first_party(offer.point.distribution):
            yield offer.name, offer.point.distribution
    for point in entry_points("swift.commands.plugins"):
        if _first_party(point.distribution):
            yield f"plugins {point.name}", point.distribution
    for each in metadata.entry_points(group="swift.commands.data"):
        if each.dist and _first_party(each.dist.name):
            yield f"data {each.name}", each.dist.name


def _standard() -> set[str]:
    """Return the first-party distributions that `pip install 'swift-core[standard]'` installs."""
    tables = {path.parent.name: tomllib.loads(path.read_text())["project"] for path in ROOT.glob("plugins/*/pyproject.toml")}
    core = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found: set[str] = set()
    todo = list(core["optional-dependencies"]["standard"])
    while todo:
        name = re.split(r"[^\w-]", todo.pop())[0]
        if name in tables and name not in found:
            found.add(name)
            todo += tables[name]["dependencies"]
    return found


def cli_page() -> str:
    """Every command's --help, with the parts that are chosen by default."""
    import click

    parts = ["# Command line\n\n", NOTE]
    with click.Context(cli, info_name="swift") as parent:
        parts.append(f"```\n{cli.get_help(parent)}\n```\n")
        for name in cli.list_commands(parent):
            command = cli.get_command(parent, name)
            assert command is not None
            parts.append(f"\n## swift {name}\n\n```\n{_help(command, name, parent)}\n```\n")
            if isinstance(command, click.Group):
                with click.Context(command, info_name=name, parent=parent) as ctx:
                    for sub in command.list_commands(ctx):
                        inner = command.get_command(ctx, sub)
                        assert inner is not None
                        parts.append(f"\n### swift {name} {sub}\n\n```\n{_help(inner, sub, ctx)}\n```\n")
    return "".join(parts)


def _help(command, name: str, parent) -> str:  # noqa: ANN001
    from swift_core.cli import FlagsCommand

    ctx = command.context_class(command, info_name=name, parent=parent)
    with ctx:
        if isinstance(command, FlagsCommand):
            command.prepare([])
        return command.get_help(ctx)


def hooks_page() -> str:
    """Every hook with its exact signature and its first sentence; each has a page of its own."""
    parts = [
        "# Hooks\n\n",
        NOTE,
        f"Plugin API {hookspecs.API_VERSION} ([what that promises](plugin-api.md)). A plugin is a module that answers some of these with ",
        "`@swift_core.hookimpl`. When they are called: [plugins](../explanation/plugins.md).\n",
    ]
    for name, hook in hook_pages.hooks().items():
        first = (inspect.getdoc(hook) or "").splitlines()[0]
        parts.append(f"\n## {hook_pages.signature(hook)}\n\n{first} [More](hooks/{name}.md)\n")
    return "".join(parts)


def plugins_page() -> str:
    """What the first-party plugins offer."""
    parts = ["# What the plugins offer\n\n", NOTE]
    for kind in KINDS:
        if kind == "family":
            continue
        rows = list(_rows(kind))
        if rows:
            parts += [f"\n## {kind}\n\n| name | what it is | comes with | other names |\n|---|---|---|---|\n", *rows]
    return "".join(parts)


def _rows(kind: str) -> Iterator[str]:
    for entry in registry().entries(KINDS[kind]):
        isolated = " (may run in an environment of its own)" if isinstance(entry.spec, Spec) and entry.spec.isolated else ""
        also = ", ".join(f"`{name}`" for name in entry.spec.also)
        yield f"| `{entry.spec.name}` | {entry.spec.summary}{isolated} | {entry.plugin.distribution} | {also} |\n"


def families_page() -> str:
    """The model families."""
    parts = ["# Model families\n\n", NOTE, "| family | takes | architectures | LoRA targets | remote code |\n|---|---|---|---|---|\n"]
    for item in registry().all(ModelFamily):
        targets = ", ".join(f"`{name}`" for name in item.targets)
        takes, architectures, remote = ", ".join(item.modalities), ", ".join(item.architectures), "needed" if item.remote_code else ""
        parts.append(f"| {item.name} | {takes} | {architectures} | {targets} | {remote} |\n")
    return "".join(parts)


def backends_page() -> str:
    """The options of the serving backends, each with the flag of the engine that it becomes."""
    from swift_core.options import fields

    parts = ["# Options of the serving backends\n\n", NOTE, "What they are for is in [backends.md](backends.md).\n"]
    for spec in registry().all(BackendSpec):
        flags = getattr(importlib.import_module(spec.factory.module), "FLAGS", {})
        parts.append(f"\n## {spec.name}\n\n| option | what it is | engine's flag | other spellings |\n|---|---|---|---|\n")
        for field in fields.fields(spec.options):
            also = ", ".join(f"`{name}`" for name in field.also)
            flag = f"`{flags[field.path]}`" if field.path in flags else ""
            parts.append(f"| `{field.path}` | {field.description.replace('|', chr(92) + '|')} | {flag} | {also} |\n")
    return "".join(parts)


def checks_page() -> str:
    """The checks of the conformance kit, by kind of part."""
    from swift_testing.kit.collect import all_checks

    parts = [
        "# Conformance checks\n\n",
        NOTE,
        "`swift plugins check DISTRIBUTION` runs them, and `swift_testing.kit.parametrize_with_checks` turns them into tests. ",
        "How: [write a plugin](../how-to/write-a-plugin.md).\n",
    ]
    for kind in dict.fromkeys(check.kind for check in all_checks()):
        parts.append(f"\n## {kind}\n\n| check | requirement |\n|---|---|\n")
        parts += [f"| `{check.name}` | {' '.join(check.why.split())} |\n" for check in all_checks() if check.kind == kind]
    return "".join(parts)


PAGES = {
    "swift_core/catalogue.toml": catalogue,
    "swift_core/install.toml": install_words,
    "docs/reference/cli.md": cli_page,
    "docs/reference/hooks.md": hooks_page,
    "docs/reference/plugins.md": plugins_page,
    "docs/reference/families.md": families_page,
    "docs/reference/backend-options.md": backends_page,
    "docs/reference/checks.md": checks_page,
    "docs/reference/backend-http.md": partial(http_page.page, NOTE),
    "docs/explanation/architecture.md": import_graph.page,
    "docs/reference/error-codes.md": partial(error_codes.page, NOTE),
    "docs/reference/tasks.md": partial(task_page.page, NOTE),
    **{f"docs/reference/hooks/{name}.md": partial(hook_pages.page, name, NOTE) for name in hook_pages.hooks()},
    **api_pages.pages(NOTE),
}


def main() -> int:
    """Write the pages, or compare them."""
    drifted = []
    for name, make in PAGES.items():
        path, text = ROOT / name, make()
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        drifted.append(name)
        if "--check" not in sys.argv:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if drifted and "--check" in sys.argv:
        print(f"drifted from the code: {', '.join(drifted)}; run `make docs` and commit", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
