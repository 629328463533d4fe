"""What a check is given: a plugin, one of its parts, and the means to try it (a tiny model, a folder, its factory)."""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from swift_core.contract.specs import Named, Ref, Spec
from swift_core.plugins.engines import state
from swift_testing.kit.model import Example, Skip
from swift_testing.kit.probe import Entry

T = TypeVar("T")


@dataclass
class Subject:
    """A plugin (`entry`) and one of its parts; `spec` is None where the plugin as a whole is looked at.

    `environments` says whether engines may be tried that have an environment of their own, which may take minutes to start.
    `closing` holds what must end with the subject: its folder, a server it has started; `kept` what several checks share; `faults` which
    check has told of which cause; `log` is what its engine says.
    """

    entry: Entry
    spec: Any = None
    example: Example = field(default_factory=Example)
    environments: bool = False
    closing: ExitStack = field(default_factory=ExitStack)
    kept: dict[str, Any] = field(default_factory=dict)
    faults: dict[tuple[str, ...], str] = field(default_factory=dict)
    log: Path | None = None

    @property
    def kind(self) -> str:
        """The kind of the part; `plugin` for the whole."""
        return self.spec.kind if isinstance(self.spec, Named) else "plugin"

    @property
    def label(self) -> str:
        """`tuner lora`, or the plugin's name."""
        return f"{self.kind} {self.spec.name}" if self.spec is not None else f"plugin {self.entry.name}"

    @cached_property
    def folder(self) -> Path:
        """A temporary folder of the subject's own."""
        return Path(self.closing.enter_context(tempfile.TemporaryDirectory(prefix="swift-check-")))

    def new_folder(self, name: str) -> Path:
        """A new name below `folder`; nothing is there yet."""
        number = sum(1 for path in self.folder.iterdir() if path.name.startswith(name))
        return self.folder / f"{name}-{number}"

    @cached_property
    def tiny_model(self) -> Path:
        """A checkpoint of a tiny random Llama, whose weights are random but the same every time; with the example's `sizes`.

        Raises:
            Skip: transformers is not installed.
        """
        library("torch")
        library("transformers")
        from swift_testing.rig import write_tiny_model

        return write_tiny_model(self.folder / "tiny", **self.example.sizes)

    def keep(self, name: str, make: Callable[[], T]) -> T:
        """What `make` makes, made once for all checks of the subject; where it fails, it fails them all in the same way."""
        if name not in self.kept:
            try:
                self.kept[name] = make()
            except Exception as error:
                self.kept[name] = error
        found = self.kept[name]
        if isinstance(found, Exception):
            raise found
        return found  # type: ignore[no-any-return]

    def needs_engine(self) -> None:
        """Skip unless what the part stands on is in this environment.

        Raises:
            Skip: it is not, with how to get it.
        """
        if isinstance(self.spec, Spec) and not (found := state(self.spec, self.entry.distribution)).present:
            missing = ", ".join(found.missing[:2]) or "none exists for this machine"
            raise Skip(f"its engine is not installed here (missing: {missing}). {found.hint}")

    def options(self, **more: Any) -> Any:
        """The part's options, validated: its example's and `more`; None for a part that has none.

        Raises:
            Skip: some are required, and neither the example nor `more` gives them.
        """
        if self.spec.options is None:
            return None
        model = load(self.spec.options)
        given = {**{name: self._placed(value) for name, value in self.example.options.items()}, **more}
        required = [name for name, item in model.model_fields.items() if item.is_required() and name not in given]
        if required:
            raise Skip(f"it needs {', '.join(required)}, and the plugin's SWIFT_EXAMPLES has no example of '{self.spec.name}'")
        return model(**given)

    def _placed(self, value: Any) -> Any:
        """A value of the example, `{folder}` in it being the subject's own."""
        if isinstance(value, list):
            return [self._placed(item) for item in value]
        return value.replace("{folder}", str(self.folder)) if isinstance(value, str) else value

    def build(self, **more: Any) -> Any:
        """What the part's factory makes of `options(**more)`."""
        return load(self.spec.factory)(self.options(**more))

    def close(self) -> None:
        """Stop and remove what was made for it."""
        self.closing.close()
        self.closing = ExitStack()
        self.kept.clear()
        self.log = None
        for name in ("folder", "tiny_model"):
            self.__dict__.pop(name, None)


def load(ref: Ref) -> Any:
    """What a Ref names.

    Raises:
        Skip: it needs a library that is not installed here.
        SwiftError: it can't be imported, for another reason.
    """
    try:
        return ref.load()
    except Exception as error:
        cause = error.__cause__
        if isinstance(cause, ModuleNotFoundError) and cause.name:
            missing = cause.name.partition(".")[0]
            if missing != ref.partition(".")[0] and missing not in sys.stdlib_module_names:
                raise Skip(f"{ref.module} needs {missing}, which is not installed") from error
        raise


def library(name: str) -> ModuleType:
    """A module that a check stands on.

    Raises:
        Skip: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise Skip(f"{name.partition('.')[0]} is not installed") from None


def examples_of(module: Any) -> Mapping[str, Example]:
    """What a plugin's `SWIFT_EXAMPLES`, a Ref, says about its parts, by name."""
    ref = getattr(module, "SWIFT_EXAMPLES", None)
    return load(Ref(ref)) if ref else {}
