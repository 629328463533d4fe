"""Says that it serves completions."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import BackendSpec, Ref


@hookimpl
def swift_backends():
    return [BackendSpec(name="routes", summary="Badly", factory=Ref("faults.backends:ChatsAlone"), reads=("safetensors",), adapters=True)]
