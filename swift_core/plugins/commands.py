"""Commands that are no verbs: found in package metadata (`swift.commands`) and in local files, each imported when it is called.

One that fails is reported with its place, like any other part of a plugin, and affects no other command. First-party names take precedence;
a name that two other distributions have is an error until `swift distribution/name` selects one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import click

from swift_core.contract import SwiftError, UsageError
from swift_core.plugins import local
from swift_core.plugins.metadata import Point, blocked, entry_points
from swift_core.plugins.registered import first_party
from swift_core.plugins.verb_names import clash
from swift_core.system import failure_site_of

GROUP = "swift.commands"


@dataclass(frozen=True, slots=True)
class Offer:
    """A command of a plugin, under the name that users type."""

    name: str  # what users type
    point: Point  # its entry point

    @property
    def place(self) -> str:
        """Return the prefix that distinguishes two commands of the same name."""
        file = local.file_of(self.point.distribution)
        return file.stem if file else self.point.distribution

    @property
    def first_party(self) -> bool:
        """True if it comes from a first-party distribution."""
        return self.point.distribution in first_party()

    def load(self) -> click.Command:
        """Import it.

        Raises:
            UsageError: it can't be imported, or is no command; says where.
        """
        try:
            with redirect_stdout(sys.stderr):  # what one prints there must not stand in another's JSON
                found = self.point.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # sys.exit at import is one of the things that plugins do
            raise self._broken(f"{type(error).__name__}: {error}{failure_site_of(error, self.point.value)}") from error
        if not isinstance(found, click.Command):
            raise self._broken(f"'{self.point.value}' is no click command, but a {type(found).__name__}")
        return _guarded(found, self)

    def _broken(self, reason: str) -> UsageError:
        home = f"{self.point.distribution} {self.point.version}".strip()
        return UsageError(
            f"the command '{self.name}' of {home} can't be loaded: {reason}", code="PLUGIN-005", hint="SWIFT_DEBUG=1 shows the traceback."
        )


def commands_offered() -> list[Offer]:
    """All of them, by name; SWIFT_BLOCK_PLUGINS leaves some out."""
    left_out = blocked()
    found = [Offer(spelled(point.name), point) for point in [*entry_points(GROUP), *_local()] if point.name not in left_out]
    return sorted(found, key=lambda offer: (offer.name, offer.point.distribution))


def spelled(name: str) -> str:
    """Return a command's name in its usual spelling: `_` becomes `-`."""
    return name.replace("_", "-")


def find_command(name: str) -> Offer | None:
    """Return the command of that name; `distribution/name` chooses one of several.

    Raises:
        UsageError: two have the name.
    """
    home, _, bare = name.rpartition("/")
    found = [offer for offer in commands_offered() if offer.name == spelled(bare) and home in ("", offer.point.distribution, offer.place)]
    found = [offer for offer in found if offer.first_party] or found  # no other plugin takes their place
    if len(found) > 1:
        raise clash("command", bare, [(offer.point.distribution, offer.place) for offer in found])
    return found[0] if found else None


def _local() -> Sequence[Point]:
    """Return the commands of the plugin files that the user has named."""
    points = []
    for path in local.local_plugins():
        try:
            named = getattr(local.load(path), local.COMMANDS, {})
        except (SwiftError, KeyboardInterrupt):
            raise
        except BaseException as error:
            reason = f"{type(error).__name__}: {error}{local.line_of(error, path)}"
            raise UsageError(
                f"the plugin can't be loaded: {reason}", code="PLUGIN-007", where=str(path), hint="SWIFT_DEBUG=1 shows the traceback."
            ) from error
        home, version = local.distribution(path), local.version(path)
        points += [Point(GROUP, name, str(target), home, version) for name, target in named.items()]
    return points


def _guarded(command: click.Command, offer: Offer) -> click.Command:
    """Return the command, with an error message in place of a traceback for exceptions that it does not handle."""

    def guard(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            try:
                return method(*args, **more)
            except (SwiftError, click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
                raise
            except Exception as error:
                said = f"{type(error).__name__}: {error}{failure_site_of(error, offer.point.value)}"
                hint = f"This is a bug in {offer.point.distribution}; SWIFT_DEBUG=1 shows the traceback."
                raise SwiftError(f"the command '{offer.name}' failed: {said}", code="PLUGIN-008", hint=hint) from error

        return call

    command.make_context = guard(command.make_context)  # type: ignore[method-assign]
    command.invoke = guard(command.invoke)  # type: ignore[method-assign]
    return command
