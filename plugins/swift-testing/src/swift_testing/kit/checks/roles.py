"""Check that the object which a part's factory builds has the methods of its role, with compatible signatures."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from swift_convert.roles import CalibratingExporter

from swift_core.contract import ExporterSpec, QuantizerSpec, TaskSpec
from swift_core.system import failure_site_of
from swift_testing.kit.model import PART, CheckFailed, Skip, check, require
from swift_testing.kit.subject import Subject, library

_CORE, _TRAIN, _CONVERT = "swift_core.contract.roles", "swift_train.roles", "swift_convert.roles"
_SERVE = "swift_serve.roles"
_ROLES = {
    "hub": (_CORE, "Hub"),
    "loader": (_TRAIN, "Loader"),
    "dataset": (_CORE, "Dataset"),
    "tuner": (_TRAIN, "Tuner"),
    "exporter": (_CONVERT, "Exporter"),
    "backend": (_SERVE, "Backend"),
    "evaluator": ("swift_evaluate.roles", "Evaluator"),
    "launcher": (_CORE, "Launcher"),
    "optimizer": (_TRAIN, "OptimizerFactory"),
}


_OPTIONAL = {
    "tuner": (_TRAIN, "RemarkingTuner ScheduledTuner SwitchingTuner"),
    "quantizer": (_CONVERT, "ReportingQuantizer LoadableQuantizer"),
    "exporter": (_CONVERT, "LoadableExporter TrustingExporter CalibratingExporter CheckingExporter"),
}


def _role(spec: Any) -> Any:
    if isinstance(spec, QuantizerSpec):
        return library(_TRAIN).LoadQuantizer if spec.when == "load" else library(_CONVERT).OfflineQuantizer
    if spec.kind == "parallel":
        return library("swift_train.strategy").Strategy if spec.trains is None else None
    if spec.kind == "callback":
        return library("swift_train.callbacks").Callback
    if isinstance(spec, TaskSpec):
        return library("swift_train.tasks").LossTask if spec.trainer.startswith("swift_train.") else None
    module, name = _ROLES.get(spec.kind, ("", ""))
    return getattr(library(module), name) if module else None


def _methods(role: Any) -> Iterator[tuple[str, inspect.Signature]]:
    for name, value in vars(role).items():
        if inspect.isfunction(value) and not name.startswith("_"):
            yield name, inspect.signature(value)


@check(PART)
def check_role(subject: Subject) -> None:
    """The factory builds an object with all methods of its role, and each accepts the arguments of the role's method."""
    role = _role(subject.spec)
    if role is None:
        raise Skip("it has its own trainer")
    sample = {"path": str(subject.folder / "rows.jsonl")} if subject.kind == "dataset" and subject.spec.suffixes else {}
    try:
        made = subject.build(**sample)
    except Skip:
        raise
    except Exception as error:
        cause = f"{type(error).__name__}: {error}{failure_site_of(error, subject.entry.target)}"
        raise CheckFailed(f"'{subject.spec.factory}' can't be built with its options: {cause}") from error
    for name, signature in _methods(role):
        method = getattr(made, name, None)
        require(callable(method), f"'{subject.spec.factory}' has no {name}(); see {role.__module__}.{role.__name__}")
        _takes(method, signature, f"{subject.spec.factory}.{name}")


@check("tuner")
@check("quantizer")
@check("exporter")
def check_optional_members(subject: Subject) -> None:
    """It has all members of an optional role or none, since half of one is not recognised; `calibrates` is true to it."""
    made = subject.build()
    module, names = _OPTIONAL[subject.kind]
    for role in (getattr(library(module), each) for each in names.split()):
        methods = dict(_methods(role))
        members = sorted({*inspect.get_annotations(role), *(name for name in vars(role) if not name.startswith("_"))})
        missing = [name for name in members if not hasattr(made, name)]
        if len(missing) < len(members):
            present = " and ".join(name for name in members if name not in missing)
            require(not missing, f"it has {present}, but not {' and '.join(missing)}; see {role.__module__}.{role.__name__}")
            for name, signature in methods.items():
                _takes(getattr(made, name), signature, f"{subject.spec.factory}.{name}")
    if isinstance(subject.spec, ExporterSpec):
        calibrates = isinstance(made, CalibratingExporter)
        problem = f"it has calibrates={subject.spec.calibrates}, but {'a' if calibrates else 'no'} method calibrate()"
        require(subject.spec.calibrates == calibrates, problem)


def _takes(method: Any, signature: inspect.Signature, name: str) -> None:
    """Check that the method can be called with the arguments of the role's method."""
    parameters = list(signature.parameters.values())[1:]  # without self
    positional = [None for item in parameters if item.kind is item.POSITIONAL_OR_KEYWORD]
    keywords = {item.name: None for item in parameters if item.kind is item.KEYWORD_ONLY}
    try:
        inspect.signature(method).bind(*positional, **keywords)
    except TypeError as error:
        raise CheckFailed(f"{name}() can't be called as {signature}: {error}") from None
