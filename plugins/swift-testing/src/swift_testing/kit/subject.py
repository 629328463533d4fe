"""The subject of a check: a plugin or one of its parts, with the means to run it (a tiny model, a folder, its factory)."""

from __future__ import annotations

import importlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from swift_core.contract import Named, Ref, Spec
from swift_core.plugins import engine_state
from swift_core.system import digest, locked, paths, sha256
from swift_testing.kit.model import Example, Skip
from swift_testing.kit.probe import Entry

T = TypeVar("T")


@dataclass
class Subject:
    """A plugin, or one of its parts, that is checked.

    Attributes:
        entry: the plugin's entry point.
        spec: the spec of the part; None for the plugin as a whole.
        example: the plugin's example for the part.
        environments: whether to run engines that have their own environment, which may take minutes to start.
        checks: the names of the checks that are to be run; empty for all.
        closing: what ends with the subject: its folder, and a server if one was started.
        kept: results that several checks share.
        faults: cause → the check that has reported it.
        log: the log file of its engine.
    """

    entry: Entry
    spec: Any = None
    example: Example = field(default_factory=Example)
    environments: bool = False
    checks: frozenset[str] = frozenset()
    closing: ExitStack = field(default_factory=ExitStack)
    kept: dict[str, Any] = field(default_factory=dict)
    faults: dict[tuple[str, ...], str] = field(default_factory=dict)
    log: Path | None = None

    @property
    def kind(self) -> str:
        """The kind of the part; `plugin` for the plugin as a whole."""
        return self.spec.kind if isinstance(self.spec, Named) else "plugin"

    @property
    def label(self) -> str:
        """The label of the subject, such as `tuner lora` or `plugin peft`."""
        return f"{self.kind} {self.spec.name}" if self.spec is not None else f"plugin {self.entry.name}"

    @cached_property
    def folder(self) -> Path:
        """The temporary folder of the subject."""
        return Path(self.closing.enter_context(tempfile.TemporaryDirectory(prefix="swift-check-")))

    def new_folder(self, name: str) -> Path:
        """Return an unused path in `folder`, without creating it."""
        number = sum(1 for path in self.folder.iterdir() if path.name.startswith(name))
        return self.folder / f"{name}-{number}"

    @cached_property
    def tiny_model(self) -> Path:
        """A copy of a tiny Llama with random but reproducible weights and the example's `sizes`.

        It is kept in the cache of swift-core, so that a check which only needs the files does not import torch to make them.

        Raises:
            Skip: torch or transformers is not installed.
        """
        recipe = [sha256(Path(__file__).parent.parent / "rig.py"), sorted(self.example.sizes.items())]
        key = digest(recipe)[:16]
        kept = paths.cache_dir("testing") / f"tiny-{key}"
        with locked(kept):
            if not kept.is_dir():
                library("torch")
                library("transformers")
                from swift_testing.rig import write_tiny_model

                with paths.atomic_folder(kept) as aside:
                    write_tiny_model(aside, **self.example.sizes)
        return shutil.copytree(kept, self.folder / "tiny")

    def keep(self, name: str, make: Callable[[], T]) -> T:
        """Return the result of `make`, computed once for all checks of the subject; if it fails, all of them get the same exception."""
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
        """Skip the check unless the engine of the part is installed in this environment.

        Raises:
            Skip: it is not installed; the message says how to install it.
        """
        if isinstance(self.spec, Spec) and not (found := engine_state(self.spec, self.entry.distribution)).present:
            missing = ", ".join(found.missing[:2]) or "none exists for this machine"
            raise Skip(f"its engine is not installed here (missing: {missing}). {found.hint}")

    def options(self, **more: Any) -> Any:
        """Return the part's validated options, from its example and `more`; None for a part without options.

        Raises:
            Skip: a required option is in neither the example nor `more`.
        """
        if self.spec.options is None:
            return None
        model = load(self.spec.options)
        given = {**{name: self.placed(value) for name, value in self.example.options.items()}, **more}
        required = [name for name, item in model.model_fields.items() if item.is_required() and name not in given]
        if required:
            raise Skip(f"it requires {', '.join(required)}, and the plugin's SWIFT_EXAMPLES has no example of '{self.spec.name}'")
        return model(**given)

    def placed(self, value: Any) -> Any:
        """Replace `{folder}` in a value of the example by the subject's folder."""
        if isinstance(value, list):
            return [self.placed(item) for item in value]
        return value.replace("{folder}", str(self.folder)) if isinstance(value, str) else value

    def build(self, **more: Any) -> Any:
        """Return the object that the part's factory builds from `options(**more)`."""
        return load(self.spec.factory)(self.options(**more))

    def close(self) -> None:
        """Stop and remove what was created for the subject."""
        self.closing.close()
        self.closing = ExitStack()
        self.kept.clear()
        self.log = None
        for name in ("folder", "tiny_model"):
            self.__dict__.pop(name, None)


def load(ref: Ref) -> Any:
    """Load the object of a Ref.

    Raises:
        Skip: it requires a library that is not installed here.
        SwiftError: it can't be imported for another reason.
    """
    try:
        return ref.load()
    except Exception as error:
        cause = error.__cause__
        if isinstance(cause, ModuleNotFoundError) and cause.name:
            missing = cause.name.partition(".")[0]
            if missing != ref.partition(".")[0] and missing not in sys.stdlib_module_names:
                raise Skip(f"{ref.module} requires {missing}, which is not installed") from error
        raise


def library(name: str) -> ModuleType:
    """Import a module that a check requires.

    Raises:
        Skip: the module is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise Skip(f"{name.partition('.')[0]} is not installed") from None


def examples_of(module: Any) -> Mapping[str, Example]:
    """Return the examples of a plugin's parts by name, from the Ref in its `SWIFT_EXAMPLES`, to them or to a function that returns them.

    An example may also be a mapping of the fields, which needs no import of swift-testing.
    """
    ref = getattr(module, "SWIFT_EXAMPLES", None)
    found = load(Ref(ref)) if ref else {}
    found = found() if callable(found) else found
    return {name: Example(**example) if isinstance(example, Mapping) else example for name, example in found.items()}
