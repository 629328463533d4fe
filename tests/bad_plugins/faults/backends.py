"""Backends whose engine is `server.py` beside this file, each with one fault."""

from __future__ import annotations

from pathlib import Path

from swift_serve.roles import Command

from swift_core.contract import UsageError


class Good:
    """`faults` are what the engine does wrong."""

    faults = ()

    def __init__(self, options=None):
        pass

    def command(self, serving):
        faults = [argument for fault in self.faults for argument in ("--fault", fault)]
        adapters = [argument for name in serving.adapters for argument in ("--adapter", name)]
        argv = (serving.python, str(Path(__file__).with_name("server.py")), str(serving.checkpoint), str(serving.port))
        return Command(argv=(*argv, "--name", serving.name, *adapters, *faults), env={"SERVER_KEY": serving.api_key or ""})

    def add_adapter(self, server, name, path):
        raise UsageError("adapters are taken at the start", hint="Start it again.")

    def drop_adapter(self, server, name):
        raise UsageError("adapters are kept", hint="Start it again.")


class KeepsItsPort(Good):
    faults = ("child",)


class StreamsOther(Good):
    faults = ("stream",)


class Deaf(Good):
    faults = ("deaf",)


class AsksForNoKey(Good):
    faults = ("open",)


class IgnoresStopWords(Good):
    faults = ("stop",)


class ServesAnything(Good):
    faults = ("missing",)


class IgnoresAdapters(Good):
    faults = ("adapters",)


class AnyModel(Good):
    faults = ("models",)


class NeverServes(Good):
    faults = ("start",)


class TakesAny(Good):
    def add_adapter(self, server, name, path):
        pass


class ShowsTheKey(Good):
    def command(self, serving):
        made = super().command(serving)
        return Command(argv=(*made.argv, "--key", serving.api_key or ""), env=made.env)


class SaysItAll(Good):
    faults = ("limit",)


class StreamsOn(Good):
    faults = ("stream-stop",)


class Waits(Good):
    faults = ("left",)


class MixesUp(Good):
    faults = ("turns",)


class ChatsAlone(Good):
    faults = ("routes",)
