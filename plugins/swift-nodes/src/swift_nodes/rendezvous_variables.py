"""Environment variables of torchrun's rendezvous that other tools read at launch: `NNODES=2 NODE_RANK=1 MASTER_ADDR=… swift sft …`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from swift_core.runs import set_option, variable_number

if TYPE_CHECKING:
    from swift_core.contract import Settings, VerbSpec

_RENDEZVOUS: Mapping[str, str] = {
    "NODE_RANK": "launcher.node_rank", "MASTER_ADDR": "launcher.master_addr", "MASTER_PORT": "launcher.master_port",
}  # fmt: skip


def apply(verb: VerbSpec, settings: Settings, environment: Mapping[str, str]) -> Iterator[str]:
    """Apply the variables to the settings of a run on several nodes, and yield notes for the user."""
    found = {name: environment[name].strip() for name in _RENDEZVOUS if environment.get(name, "").strip()}
    if not found or "launcher" not in verb.parts or verb.gives == "server":
        return
    variables = " ".join(f"{name}={value}" for name, value in found.items())
    if int(settings.given("nodes") or variable_number("NNODES", environment.get("NNODES", "").strip() or "1")) == 1:
        yield f"{variables} has no effect on a single node, where the rendezvous address is chosen automatically"
        return
    if settings.given("launcher") is None:
        settings.set("launcher", "torchrun")
        yield "multi-node run: using --launcher torchrun"
    if settings.given("launcher") != "torchrun":
        yield f"{variables} has no effect: --launcher {settings.given('launcher')} sets up the rendezvous itself"
        return
    for name, value in found.items():
        number = name != "MASTER_ADDR"
        yield from set_option(settings, _RENDEZVOUS[name], variable_number(name, value) if number else value, f"{name}={value}", known=True)
