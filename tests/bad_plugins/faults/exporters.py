"""An exporter that writes the time of day into its file."""

from __future__ import annotations

import time

from swift_core.errors import UsageError


class Dated:
    def __init__(self, options=None):
        pass

    def export(self, checkpoint, out):
        if not checkpoint.is_dir():
            raise UsageError("not a folder", where=str(checkpoint), hint="Check the path.")
        out.mkdir()
        (out / "model.dated").write_text(str(time.time_ns()))
        return out / "model.dated"
