"""The model of a check: a small named function for one kind of part, whose docstring states the requirement and the reason."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.contract import Named

if TYPE_CHECKING:
    from swift_testing.kit.subject import Subject

PLUGIN = "plugin"  # kind of the checks of a plugin as a whole
EVERY = "every part"  # kind of the checks of parts of any kind
PART = "every part with a factory"  # all parts except families, which are only data
OPTIONS = "every part with options"
COMMAND = "command"


class CheckFailed(AssertionError):
    """A violation of the contract; the message explains it to the plugin's author."""


class Skip(Exception):
    """A check that can't be run here; the message gives the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """Settings with which the kit can run a part, if its defaults don't work on the tiny model. All fields are optional.

    Attributes:
        options: options that suit the tiny model; `{folder}` in a value is replaced by the check's temporary folder.
        sizes: values for the tiny model's `config.json`, if an engine has no kernel for its sizes: `{"head_dim": 32}`.
        checkpoint: function that writes the tiny model (first argument) into a new folder (second argument) in a format that the
            backend reads, if that is not safetensors; for a hub, puts the model where the hub finds it.
        configurations: values for a family's `config.json`, one mapping per model to build, if the default configuration does not have
            every kind of layer.
        tasks: tasks to run an evaluator on.
        outside: prefixes of parameters that belong to no part of a multimodal family.
        reference: what to fetch from a hub, without the scheme: the tiny model that `checkpoint` has put there; `{folder}` is the second
            argument of `checkpoint`.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    sizes: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: Callable[[Path, Path], object] | None = None
    configurations: tuple[Mapping[str, Any], ...] = ({},)
    tasks: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    reference: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandSpec(Named):
    """A command of a plugin; `target` is the value of its entry point."""

    kind: ClassVar[str] = COMMAND
    target: str


@dataclass(frozen=True, slots=True)
class Check:
    """A registered check; it is skipped if one of the modules in `needs` is not installed."""

    name: str
    kind: str
    function: Callable[[Subject], None]
    needs: tuple[str, ...]

    @property
    def why(self) -> str:
        """The docstring of the check: the requirement and the reason for it."""
        return inspect.getdoc(self.function) or ""

    def __call__(self, subject: Subject) -> None:
        """Run the check.

        Raises:
            CheckFailed: the subject violates the contract.
            Skip: the check can't be run here.
        """
        for module in self.needs:
            if importlib.util.find_spec(module) is None:
                raise Skip(f"{module} is not installed")
        self.function(subject)


CHECKS: list[Check] = []


def check(kind: str, *, needs: tuple[str, ...] = ()) -> Callable[[Callable[[Subject], None]], Callable[[Subject], None]]:
    """Register a function as a check for a kind of part; `needs` are the modules that it requires."""

    def register(function: Callable[[Subject], None]) -> Callable[[Subject], None]:
        CHECKS.append(Check(function.__name__, kind, function, needs))
        return function

    return register


def require(holds: object, message: str) -> None:
    """Fail the check with the message unless `holds` is true.

    Raises:
        CheckFailed: `holds` is false.
    """
    if not holds:
        raise CheckFailed(message)
