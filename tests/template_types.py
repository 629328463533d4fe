"""Type-check what `swift plugins new` writes, one plugin of each kind, as strictly as the rest of the repository; part of `make lint`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from swift_testing import scaffold

ROOT = Path(__file__).parent.parent


def main() -> int:
    """Write one plugin of each kind, each under a name of its own, and run mypy on all of them at once."""
    with tempfile.TemporaryDirectory() as folder:
        for kind in scaffold.KINDS:
            scaffold.write(kind, f"my{kind}", Path(folder) / kind)
        sources = [Path(folder) / kind / "src" / f"swift_plugin_my{kind}" for kind in scaffold.KINDS]
        return subprocess.run([sys.executable, "-m", "mypy", *sources], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
