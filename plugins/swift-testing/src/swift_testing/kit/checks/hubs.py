"""A hub: its schemes, and what it does with a reference that leads nowhere."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

from swift_core.checkpoints.manifest import hash_files
from swift_core.contract.errors import UsageError
from swift_core.contract.reference import Reference
from swift_core.plugins.registry import registry
from swift_testing.kit.model import CheckFailed, Skip, check, require
from swift_testing.kit.subject import Subject, load

HUB = "hub"
_LIMIT = 120.0
_WITHOUT_NETWORK = """
import socket, sys
from swift_core.contract.errors import SwiftError
from swift_core.contract.reference import Reference
from swift_core.contract.specs import Ref

def refuse(event, args):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise OSError(101, "Network is unreachable")

hub = Ref(sys.argv[1]).load()(None)
sys.addaudithook(refuse)
try:
    hub.fetch(Reference(sys.argv[2], "swift-core-check/this-is-not-there"))
except SwiftError as error:
    sys.exit(0 if error.hint else f"the error has no hint: {error.message}")
sys.exit("it returned a folder")
"""


@check(HUB)
def check_schemes(subject: Subject) -> None:
    """Its schemes can be typed before a colon, and no other hub has them."""
    schemes = subject.spec.schemes
    require(schemes, "it has no schemes, so no reference ever leads to it")
    for scheme in schemes:
        require(scheme.isalnum() and scheme.islower() and scheme[1:], f"'{scheme}' is no scheme: two or more small letters and digits")
        for entry in registry().entries("hub"):
            if (entry.plugin.name, entry.spec.name) != (subject.entry.name, subject.spec.name):
                require(scheme not in entry.spec.schemes, f"the scheme '{scheme}' belongs to {entry.plugin.distribution} too")


@check(HUB)
def check_fetch_of_a_folder(subject: Subject) -> None:
    """A hub of folders gives the folder itself, and refuses one that is not there with a UsageError."""
    if "file" not in subject.spec.schemes:
        raise Skip("what it fetches is not on this machine")
    hub = subject.build()
    require(hub.fetch(Reference("file", str(subject.tiny_model))).is_dir(), "it gives no folder")
    try:
        hub.fetch(Reference("file", str(subject.folder / "nowhere")))
    except UsageError as error:
        require(error.hint, f"the error has no hint: {error.message}")
        return
    raise CheckFailed("a folder that is not there is no error")


def _reference(subject: Subject) -> Reference:
    """The tiny model where the hub finds it."""
    example = subject.example
    if "file" in subject.spec.schemes:
        return Reference("file", str(subject.tiny_model))
    if not example.reference:
        raise Skip(f"the plugin's SWIFT_EXAMPLES has no reference for '{subject.spec.name}' that leads anywhere without a network")

    def make() -> Reference:
        folder = subject.new_folder("hub")
        folder.mkdir()
        if example.checkpoint:
            example.checkpoint(subject.tiny_model, folder)
        return Reference(subject.spec.schemes[0], example.reference.replace("{folder}", str(folder)))

    return subject.keep("reference", make)


@check(HUB, needs=("torch", "transformers"))
def check_fetches(subject: Subject) -> None:
    """It gives the folder with the very files that are there, the same one when it is asked again, and only those asked for."""
    reference = _reference(subject)
    hub = subject.build()
    folder = hub.fetch(reference)
    have, want = hash_files(folder), hash_files(subject.tiny_model)
    wrong = sorted(name for name in want if have.get(name) != want[name])
    require(not wrong, f"of the checkpoint it gives other files, or none: {', '.join(wrong)}")
    require(hub.fetch(reference) == folder, "fetched again, it gives another folder")
    some = hub.fetch(reference, only=["*.json"])
    require((some / "config.json").is_file(), 'asked for only=["*.json"], it gives no config.json')


@check(HUB, needs=("torch", "transformers"))
def check_revision(subject: Subject) -> None:
    """A revision that there is not is a UsageError: whoever pins one must never be given another, and code is trusted by it."""
    reference = _reference(subject)
    if reference.scheme == "file":
        raise Skip("folders have no revisions")
    try:
        folder = subject.build().fetch(replace(reference, revision="there-is-no-such-revision"))
    except UsageError as error:
        require(error.hint, f"the error has no hint: {error.message}")
        return
    raise CheckFailed(f"asked for a revision that there is not, it gives {folder}")


@check(HUB)
def check_no_network_is_said(subject: Subject) -> None:
    """Without a network it ends with a SwiftError that says so, and soon: a hang or a traceback helps nobody."""
    if subject.spec.options is not None or "file" in subject.spec.schemes:
        raise Skip("it needs options, or no network")
    load(subject.spec.factory)
    subject.needs_engine()
    command = [sys.executable, "-c", _WITHOUT_NETWORK, subject.spec.factory, subject.spec.schemes[0]]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT, check=False)
    except subprocess.TimeoutExpired:
        raise CheckFailed(f"without a network it had not ended after {_LIMIT:.0f} seconds") from None
    said = " ".join(done.stderr.strip().splitlines()[-1:])
    require(done.returncode == 0, f"without a network it ends in something else than a SwiftError: {said}")
