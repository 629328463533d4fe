"""Hubs, each with one fault."""

from __future__ import annotations

import shutil
import urllib.request
from pathlib import Path

from swift_testing.kit import Example


class NoPush:
    def __init__(self, options=None):
        pass

    def fetch(self, reference, *, select, progress=None):
        raise NotImplementedError


class Fragile(NoPush):
    def fetch(self, reference, *, select, progress=None):
        return urllib.request.urlopen("https://192.0.2.1/")  # never reached where there is no network

    def push(self, folder, reference, *, message, private):
        raise NotImplementedError


class AnyRevision(NoPush):
    def fetch(self, reference, *, select, progress=None):
        return Path(reference.name)

    def push(self, folder, reference, *, message, private):
        raise NotImplementedError


def _put(tiny, folder):
    shutil.copytree(tiny, folder, dirs_exist_ok=True)


EXAMPLES = {"revision": Example(reference="{folder}", checkpoint=_put)}
