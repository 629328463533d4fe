"""One page a hook, made of its docstring, the spec it answers with, what the spec's factory builds, and an example that is tested."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from swift_testing import scaffold

from swift_core.contract import Spec, hookspecs
from swift_core.plugins import HOOKS, KINDS as SPECS

ROOT = Path(__file__).parent.parent
PROTOCOLS = {
    "hub": ("swift_core.contract.roles:Hub",),
    "dataset": ("swift_core.contract.roles:Dataset",),
    "loader": ("swift_train.roles:Loader",),
    "task": ("swift_train.tasks:LossTask", "swift_train.tasks:Encoder"),
    "tuner": ("swift_train.roles:Tuner",),
    "parallel": ("swift_train.strategy:Strategy",),
    "quantizer": ("swift_train.roles:LoadQuantizer", "swift_convert.roles:OfflineQuantizer"),
    "exporter": ("swift_convert.roles:Exporter",),
    "backend": ("swift_serve.roles:Backend",),
    "evaluator": ("swift_evaluate.roles:Evaluator", "swift_evaluate.roles:InlineEvaluator"),
    "launcher": ("swift_core.contract.roles:Launcher",),
    "optimizer": ("swift_train.roles:OptimizerFactory",),
    "callback": ("swift_train.callbacks:Callback", "swift_train.callbacks:Training"),
}
KINDS = {hook: spec.kind for spec, hook in HOOKS.items()}
EXAMPLES = {  # others are in run_diary.py
    "swift_settings": "launch_note.py",
    "swift_environment": "cluster_environments.py",
    "swift_provision": "cluster_environments.py",
}

LOCAL = {
    "swift_callbacks": "step_timer.py",
    "swift_evaluators": "evaluator_plugin.py",
    "swift_formats": "format_plugin.py",
    "swift_report_sections": "report_section.py",
    "swift_tasks": "task_plugin.py",
    "swift_verbs": "count_verb.py",
}


def hooks() -> dict[str, Any]:
    """The hooks by name, in the order of the source."""
    found = dict(inspect.getmembers(hookspecs, inspect.isfunction))
    return {name: found[name] for name in vars(hookspecs) if name.startswith("swift_")}


def signature(hook: Any) -> str:
    """`swift_check(run)`."""
    return f"{hook.__name__}({', '.join(inspect.signature(hook).parameters)})"


def page(name: str, note: str) -> str:
    """The page of a hook."""
    hook = hooks()[name]
    kind = KINDS.get(name, "")
    parts = [f"# {signature(hook)}\n\n", note, f"{_text(hook)}\n\n", f"```python\n{_declaration(hook)}\n```\n"]
    if kind:
        parts += [*_spec(SPECS[kind]), *(text for ref in PROTOCOLS.get(kind, ()) for text in _protocol(ref))]
    parts += ["\n## Example\n\n", *_example(name, kind)]
    if kind:
        parts.append(f"\nWhat `swift plugins check` holds it to: [conformance checks](../checks.md#{kind}).\n")
    parts.append(
        "\nWhen hooks are called, one after another: [plugins](../../explanation/plugins.md). All of them: [hooks](../hooks.md).\n"
    )
    return "".join(parts)


def _declaration(hook: Any) -> str:
    return f"@hookimpl\n{_head(hook)} ..."


def _text(thing: Any) -> str:
    """The docstring, with its arguments and errors as lists."""
    text = re.sub(r"^(Args|Raises):\n", r"\1:\n\n", inspect.getdoc(thing) or "", flags=re.MULTILINE)
    return re.sub(r"^    (\w+): ", r"- `\1`: ", text, flags=re.MULTILINE)


def _head(function: Any) -> str:
    """`def name(…) -> …:` on one line."""
    source = inspect.getsource(function)
    return re.sub(r"\s+", " ", source[source.index("def ") : source.index('"""')]).strip()


def _spec(spec: type) -> Iterator[str]:
    yield f"\n## It answers: {spec.__name__}\n\n{inspect.getdoc(spec)}\n\n| field | type | default |\n|---|---|---|\n"
    for field in dataclasses.fields(spec):
        kind = str(field.type).replace("|", "or")
        if field.default is not dataclasses.MISSING:
            default = f"`{field.default!r}`"
        else:
            default = "required" if field.default_factory is dataclasses.MISSING else "empty"
        yield f"| `{field.name}` | {kind} | {default} |\n"
    yield "\nWhat every spec has: `name` is what users type, `also` are other names, `summary` is one line without a full stop"
    yield ".\n" if not issubclass(spec, Spec) else ", `factory` and `options` are imported on use, `engines` is what it stands on.\n"


def _protocol(ref: str) -> Iterator[str]:
    module, _, name = ref.partition(":")
    protocol = getattr(importlib.import_module(module), name)
    yield f"\n## Its factory builds: {name}\n\n" if name not in ("Encoder", "Training") else f"\n### {name}\n\n"
    yield f"{_text(protocol)}\n\nIn `{module}`.\n"
    for method in vars(protocol).values():
        if inspect.isfunction(method) and not method.__name__.startswith("_"):
            yield f"\n```python\n{_head(method)} ...\n```\n\n{_text(method)}\n"


def _example(name: str, kind: str) -> Iterator[str]:
    if kind:
        source = scaffold.folder() / kind / "src" / "swift_plugin_acme" / "__init__.py"
        yield f"`swift plugins new acme --kind {kind}` writes this, with the work behind it and tests:\n\n"
        yield f"```python\n{source.read_text(encoding='utf-8').strip()}\n```\n"
        if name in LOCAL:
            file = LOCAL[name]
            yield f"\nA whole plugin in one file, [{file}](../../examples/{file}):\n\n"
            yield f"```python\n{(ROOT / 'docs' / 'examples' / file).read_text(encoding='utf-8').strip()}\n```\n"
    else:
        file = EXAMPLES.get(name, "run_diary.py")
        yield f"From [{file}](../../examples/{file}), a [local plugin](../../how-to/write-a-plugin.md#without-packaging):\n\n"
        yield f"```python\n{between((ROOT / 'docs' / 'examples' / file).read_text(encoding='utf-8'), name)}\n```\n"


def between(text: str, name: str) -> str:
    """What stands between `# -- start NAME --` and `# -- end NAME --`."""
    return text.partition(f"# -- start {name} --\n")[2].partition(f"# -- end {name} --")[0].strip()
