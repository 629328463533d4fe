"""A running server of an engine that is not known: how its adapters and weights are changed."""

from __future__ import annotations

from pathlib import Path

from swift_serve.backend_mixins import AdapterRoutes, DevelopmentWeightRoutes, WeightRoute
from swift_serve.client import Refused

from swift_core.contract import Server


class RunningServer(AdapterRoutes):
    """Changes adapters with vLLM's routes, and all weights with SGLang's route or vLLM's, whichever it has."""

    def reload(self, server: Server, checkpoint: Path) -> None:
        """Replace the weights of the base model; arguments and errors as in `WeightRoute.reload`."""
        try:
            WeightRoute().reload(server, checkpoint)
        except Refused as refused:
            if refused.status not in (404, 405):
                raise
            DevelopmentWeightRoutes().reload(server, checkpoint)
