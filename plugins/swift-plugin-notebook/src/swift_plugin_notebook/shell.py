"""Whether this process is the kernel of a notebook; IPython is never imported for that."""

from __future__ import annotations

import sys
from typing import Any


def notebook_shell() -> Any | None:
    """Return IPython's shell if it shows HTML (Jupyter, VS Code, Colab); None in a script, a terminal, or a thread without one."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell if shell is not None and any(kind.__name__ == "ZMQInteractiveShell" for kind in type(shell).__mro__) else None
