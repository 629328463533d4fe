"""Options of `swift rollout`."""

from __future__ import annotations

from typing import Literal

from swift_serve.options import ServeOptions

from swift_core.options import option


class RolloutServeOptions(ServeOptions):
    """Options of `swift rollout`: those of `swift serve`, with the defaults of a server for online training."""

    runtime_adapters: bool = option(
        True, "Allow adapters to be added and removed while the server runs; without it, only a training of all weights can use the server."
    )
    runtime_weights: bool = option(
        True, "Allow all weights to be replaced while the server runs; without it, only adapters can be trained."
    )
    folder: str = option(
        "",
        "Folder from which the server may load weights and adapters: "
        "--rollout.folder or --runs of the training; "
        "default: the parent folder of the run folders.",
    )
    parity: Literal["refuse", "warn"] = option(
        "warn", "If the server renders the checkpoint's golden conversations to other tokens: refuse to start, or only warn."
    )
