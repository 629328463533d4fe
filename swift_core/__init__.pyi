from typing import Any

from swift_core.api import run_server as run_server, run_verb as run_verb, use_plugins as use_plugins
from swift_core.contract import (
    API_VERSION as API_VERSION, Ref as Ref, SwiftError as SwiftError, UsageError as UsageError, __version__ as __version__,
    hookimpl as hookimpl,
)  # fmt: skip

def __getattr__(name: str) -> Any: ...  # each installed verb
