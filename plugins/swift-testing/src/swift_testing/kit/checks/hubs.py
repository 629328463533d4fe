"""Checks of a hub: its schemes, the files that it fetches, and its errors for references that don't exist."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

from swift_core.checkpoints import hash_files
from swift_core.contract import HubSpec, Reference, UsageError
from swift_core.plugins import checkpoint_files, registry
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
    hub.fetch(Reference(sys.argv[2], "swift-core-check/this-is-not-there"), select=list)
except SwiftError as error:
    sys.exit(0 if error.hint else f"the error has no hint: {error.message}")
sys.exit("it returned a folder")
"""


@check(HUB)
def check_schemes(subject: Subject) -> None:
    """Its schemes are valid before a colon, and no other hub has them."""
    schemes = subject.spec.schemes
    require(schemes, "it has no schemes, so no reference can use it")
    for scheme in schemes:
        valid = scheme.isalnum() and scheme.islower() and scheme[1:]
        require(valid, f"'{scheme}' is not a valid scheme: use two or more lower-case letters and digits")
        for entry in registry().entries(HubSpec):
            if (entry.plugin.name, entry.spec.name) != (subject.entry.name, subject.spec.name):
                require(scheme not in entry.spec.schemes, f"the scheme '{scheme}' belongs to {entry.plugin.distribution} too")


@check(HUB)
def check_fetch_of_local_folder(subject: Subject) -> None:
    """A hub for local folders returns an existing folder, and raises a UsageError for a missing one."""
    if "file" not in subject.spec.schemes:
        raise Skip("it does not fetch local folders")
    hub = subject.build()
    require(hub.fetch(Reference("file", str(subject.tiny_model)), select=list).is_dir(), "it does not return a folder")
    try:
        hub.fetch(Reference("file", str(subject.folder / "nowhere")), select=list)
    except UsageError as error:
        require(error.hint, f"the error has no hint: {error.message}")
        return
    raise CheckFailed("a missing folder is not an error")


def _reference(subject: Subject) -> Reference:
    """Return a reference to the tiny model on the hub."""
    example = subject.example
    if "file" in subject.spec.schemes:
        return Reference("file", str(subject.tiny_model))
    if not example.reference:
        raise Skip(f"the plugin's SWIFT_EXAMPLES has no reference for '{subject.spec.name}' that can be fetched without a network")

    def make() -> Reference:
        folder = subject.new_folder("hub")
        folder.mkdir()
        if example.checkpoint:
            example.checkpoint(subject.tiny_model, folder)
        return Reference(subject.spec.schemes[0], example.reference.replace("{folder}", str(folder)))

    return subject.keep("reference", make)


@check(HUB, needs=("torch", "transformers"))
def check_fetch(subject: Subject) -> None:
    """It returns a folder with unchanged files, the same folder when fetched again, and fetches what `select` chooses."""
    reference = _reference(subject)
    hub = subject.build()
    folder = hub.fetch(reference, select=checkpoint_files)
    found, expected = hash_files(folder), hash_files(subject.tiny_model)
    wrong = sorted(name for name in expected if found.get(name) != expected[name])
    require(not wrong, f"these files of the checkpoint are missing or differ: {', '.join(wrong)}")
    require(hub.fetch(reference, select=checkpoint_files) == folder, "fetched again, it returns another folder")
    some = hub.fetch(reference, select=lambda names: [name for name in names if name == "config.json"])
    require((some / "config.json").is_file(), "it does not fetch config.json when only that is selected")


@check(HUB, needs=("torch", "transformers"))
def check_revision(subject: Subject) -> None:
    """An unknown revision is a UsageError: a pinned revision must never be replaced by another, since code is trusted by revision."""
    reference = _reference(subject)
    if reference.scheme == "file":
        raise Skip("folders have no revisions")
    try:
        folder = subject.build().fetch(replace(reference, revision="there-is-no-such-revision"), select=checkpoint_files)
    except UsageError as error:
        require(error.hint, f"the error has no hint: {error.message}")
        return
    raise CheckFailed(f"for an unknown revision it returns {folder}")


@check(HUB)
def check_network_failure(subject: Subject) -> None:
    """Without a network it raises a SwiftError with a hint within a time limit, instead of hanging."""
    if subject.spec.options is not None or "file" in subject.spec.schemes:
        raise Skip("it has options, or does not use the network")
    load(subject.spec.factory)
    subject.needs_engine()
    command = [sys.executable, "-c", _WITHOUT_NETWORK, subject.spec.factory, subject.spec.schemes[0]]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT, check=False)
    except subprocess.TimeoutExpired:
        raise CheckFailed(f"without a network it does not end within {_LIMIT:.0f} seconds") from None
    last = " ".join(done.stderr.strip().splitlines()[-1:])
    require(done.returncode == 0, f"without a network it does not raise a SwiftError with a hint: {last}")
