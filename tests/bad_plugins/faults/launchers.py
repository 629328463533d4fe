"""A launcher that is always content."""

from __future__ import annotations

from swift_core.runs import LocalLauncher


class Optimist(LocalLauncher):
    def launch(self, run, *, processes, nodes, environment, watch):
        super().launch(run, processes=processes, nodes=nodes, environment=environment, watch=watch)
        return 0
