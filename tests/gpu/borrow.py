"""Let this environment import what is installed in another one too: `python borrow.py SITE_PACKAGES`."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

Path(sysconfig.get_paths()["purelib"], "borrowed.pth").write_text(f"{Path(sys.argv[1]).resolve()}\n", encoding="utf-8")
