"""Each hook is asked, and its answer used: one test a hook, and a test that none was forgotten."""

from __future__ import annotations

import inspect
import sys

import pytest

from swift_core import UsageError, hookimpl
from swift_core.contract import Problem, Settings, hookspecs
from swift_core.contract.callback import CallbackSpec
from swift_core.contract.format import FormatSpec
from swift_core.contract.specs import (
    BackendSpec,
    DatasetSpec,
    EvaluatorSpec,
    ExporterSpec,
    HubSpec,
    LauncherSpec,
    LoaderSpec,
    ModelFamily,
    OptimizerSpec,
    ParallelSpec,
    QuantizerSpec,
    Ref,
    SectionSpec,
    TaskSpec,
    TunerSpec,
)
from swift_core.contract.verb import VerbSpec
from swift_core.plugins.loader import Plugins
from swift_core.plugins.registered import HOOKS, KINDS, Registry
from swift_core.plugins.verb_names import verb_named
from swift_core.runs.resolution import resolve

COMMON = {"name": "x", "summary": "An x", "factory": Ref("a:B")}
SPECS = {
    "swift_hubs": HubSpec(**COMMON, schemes=("x",)),
    "swift_families": ModelFamily(name="x", summary="An x", architectures=("X",)),
    "swift_formats": FormatSpec(name="x", summary="An x", recognised_by=("*.x",), weights=("*.x",)),
    "swift_loaders": LoaderSpec(**COMMON, reads=("safetensors",)),
    "swift_datasets": DatasetSpec(**COMMON),
    "swift_tasks": TaskSpec(**COMMON, rows=("chat",), trainer=Ref("a:b")),
    "swift_tuners": TunerSpec(**COMMON, trains="adapter"),
    "swift_parallel": ParallelSpec(**COMMON),
    "swift_quantizers": QuantizerSpec(**COMMON, when="load", format="x", bits=(4,)),
    "swift_exporters": ExporterSpec(**COMMON, reads=("safetensors",), writes="x"),
    "swift_backends": BackendSpec(**COMMON, reads=("safetensors",)),
    "swift_evaluators": EvaluatorSpec(**COMMON),
    "swift_launchers": LauncherSpec(**COMMON),
    "swift_optimizers": OptimizerSpec(**COMMON),
    "swift_callbacks": CallbackSpec(**COMMON),
    "swift_report_sections": SectionSpec(name="x", summary="An x", title="X", content=Ref("a:b")),
    "swift_verbs": VerbSpec(name="x", summary="An x", options=Ref("a:B")),
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_is_found_by_kind_and_name(kind):
    hook = HOOKS[KINDS[kind]]
    spec = SPECS[hook]

    def answer():
        return [spec]

    answer.__name__ = hook
    module = type(sys)("plugin_under_test")
    setattr(module, hook, hookimpl(answer))
    plugins = Plugins()
    plugins.register(module, "a")
    assert Registry(plugins).get(kind, "x") is spec
    assert Registry(plugins).all(type(spec)) == [spec]
    assert spec.kind == kind


def test_swift_check(tmp_path, tiny_model):
    class Veto:
        @hookimpl
        def swift_check(self, run):
            if run.verb == "fetch":
                yield Problem(where="model", message="not on a Tuesday", hint="Try Wednesday.")
                yield Problem(where="offline", message="quite slow", fatal=False)

    plugins = Plugins()
    plugins.load_installed()
    plugins.register(Veto(), "veto")
    with pytest.raises(UsageError, match=r"model: not on a Tuesday\n  Try Wednesday\."):
        resolve(verb_named("fetch"), Settings({"model": str(tiny_model)}), using=Registry(plugins))


def test_a_check_that_is_not_fatal_becomes_a_note(tiny_model):
    class Warn:
        @hookimpl
        def swift_check(self):
            return [Problem(where="model", message="quite small", fatal=False)]

    plugins = Plugins()
    plugins.load_installed()
    plugins.register(Warn(), "warn")
    resolved = resolve(verb_named("fetch"), Settings({"model": str(tiny_model)}), using=Registry(plugins))
    assert "model: quite small" in resolved.notes


def test_no_hook_is_forgotten():
    """The others are tested in test_workers.py, test_launch_variables.py and test_environments.py."""
    here = set(HOOKS.values()) | {"swift_settings", "swift_check", "swift_run_started", "swift_metrics", "swift_run_finished"}
    here |= {"swift_environment", "swift_provision"}
    assert here == {name for name, _ in inspect.getmembers(hookspecs, inspect.isfunction) if name.startswith("swift_")}
