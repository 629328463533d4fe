"""Mixins for backends: what an engine does about adapters. A backend that derives from one has only `command` to write."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from swift_core.contract import Server, UsageError
from swift_serve.client import Client
from swift_serve.roles import Serving

_MERGE = "Merge the adapter (swift merge) and serve the merged model."


class NoAdapters:
    """Mixin of a backend that serves no adapters (`adapters=False` in its spec)."""

    def refuse_adapters(self, serving: Serving) -> None:
        """Check that no adapters are to be served; `command` calls this first.

        Raises:
            UsageError: there are some.
        """
        if serving.adapters:
            raise UsageError("this engine does not serve adapters", code="SERVE-001", where="adapter", hint=_MERGE)

    def add_adapter(self, server: Server, name: str, path: Path) -> None:
        """Raise a UsageError."""
        raise UsageError(f"this engine does not serve adapters: can't add '{name}'", code="SERVE-002", hint=_MERGE)

    def drop_adapter(self, server: Server, name: str) -> None:
        """Raise a UsageError."""
        raise UsageError(f"this engine does not serve adapters: can't remove '{name}'", code="SERVE-003", hint=_MERGE)


class NoRuntimeAdapters:
    """Mixin of a backend that loads adapters at startup only (`adapters=True`, `runtime_adapters=False`)."""

    def add_adapter(self, server: Server, name: str, path: Path) -> None:
        """Raise a UsageError."""
        message = f"this engine loads adapters at startup only and can't add '{name}'"
        raise UsageError(message, code="SERVE-027", hint="Restart the server with this adapter as well.")

    def drop_adapter(self, server: Server, name: str) -> None:
        """Raise a UsageError."""
        message = f"this engine loads adapters at startup only and can't drop '{name}'"
        raise UsageError(message, code="SERVE-028", hint="Restart the server without this adapter.")


class AdapterRoutes:
    """Mixin of a backend whose server adds and removes adapters with the routes of vLLM (`runtime_adapters=True`)."""

    load_route: ClassVar[str] = "load_lora_adapter"  # relative to the server's URL, which ends in /v1
    unload_route: ClassVar[str] = "unload_lora_adapter"

    def add_adapter(self, server: Server, name: str, path: Path) -> None:
        """Load an adapter into the running server, from a folder that the server can read.

        Raises:
            UsageError: the server does not allow loading adapters, or refuses this one.
            SwiftError: the connection was refused, or the server failed.
        """
        Client(server).command(self.load_route, {"lora_name": name, "lora_path": str(path)})

    def drop_adapter(self, server: Server, name: str) -> None:
        """Unload an adapter from the running server; raises the errors of `add_adapter`."""
        Client(server).command(self.unload_route, {"lora_name": name})


class WeightRoute:
    """Mixin of a backend whose server replaces all weights with SGLang's route (`swift_serve.roles.ReloadingBackend`)."""

    def reload(self, server: Server, checkpoint: Path) -> None:
        """Replace the weights of the base model, from a folder that the server can read; cached prefixes are dropped.

        Raises:
            UsageError: the server does not allow it, or refuses this checkpoint.
            SwiftError: the connection was refused, or the server failed.
        """
        Client(server).command("../update_weights_from_disk", {"model_path": str(checkpoint), "flush_cache": True})


class DevelopmentWeightRoutes:
    """Mixin of a backend whose server replaces all weights with vLLM's routes for development (VLLM_SERVER_DEV_MODE=1)."""

    def reload(self, server: Server, checkpoint: Path) -> None:
        """Replace the weights of the base model; arguments and errors as in `WeightRoute.reload`."""
        client = Client(server)
        client.command("../collective_rpc", {"method": "reload_weights", "kwargs": {"weights_path": str(checkpoint)}})
        client.command("../reset_prefix_cache", {})
