"""What a check is: a small function with a name, for one kind of part, whose docstring says why it matters."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.contract.specs import Named

if TYPE_CHECKING:
    from swift_testing.kit.subject import Subject

PLUGIN = "plugin"  # the kind of the checks that look at a plugin as a whole
EVERY = "every part"  # … of those that look at each part, whichever kind it is
PART = "every part with a factory"  # … at each but a family, which is data alone
OPTIONS = "every part with options"
COMMAND = "command"


class CheckFailed(AssertionError):
    """The contract is broken; the text says how, for the plugin's author."""


class Skip(Exception):
    """The check can't be done here; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """What a plugin says about one of its parts, so that the kit can try it where the defaults won't do.

    `options` fit the tiny model; `{folder}` in them is the check's own folder. `sizes` are values for the tiny model's `config.json`, where
    an engine has no kernel for its own: `{"head_dim": 32}`. `checkpoint` writes the tiny model (its first argument) to a
    new folder (its second) in a format that a backend reads, where that is not safetensors. `configurations` are values for
    `config.json`, where one of a family's own has not every kind of layer; `tasks` are what an evaluator is asked; `outside` are the
    prefixes of parameters that belong to no part of a multimodal family. `reference` is what a hub is asked for, without its scheme: the
    tiny model, which `checkpoint` has put where the hub finds it, `{folder}` being the second argument of that.
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
    """A command of a plugin: `target` is what its entry point names."""

    kind: ClassVar[str] = COMMAND
    target: str


@dataclass(frozen=True, slots=True)
class Check:
    """A registered check. `needs` are modules without which it is skipped."""

    name: str
    kind: str
    function: Callable[[Subject], None]
    needs: tuple[str, ...]

    @property
    def why(self) -> str:
        """The docstring: what is promised, and why."""
        return inspect.getdoc(self.function) or ""

    def __call__(self, subject: Subject) -> None:
        """Do it.

        Raises:
            CheckFailed: the contract is broken.
            Skip: it can't be done here.
        """
        for module in self.needs:
            if importlib.util.find_spec(module) is None:
                raise Skip(f"{module} is not installed")
        self.function(subject)


CHECKS: list[Check] = []


def check(kind: str, *, needs: tuple[str, ...] = ()) -> Callable[[Callable[[Subject], None]], Callable[[Subject], None]]:
    """Register a function as a check of a kind of part."""

    def register(function: Callable[[Subject], None]) -> Callable[[Subject], None]:
        CHECKS.append(Check(function.__name__, kind, function, needs))
        return function

    return register


def require(holds: object, message: str) -> None:
    """Fail with the message unless something holds.

    Raises:
        CheckFailed: it does not.
    """
    if not holds:
        raise CheckFailed(message)
