"""Options beside what they are for."""

from __future__ import annotations

import numpy as np

from swift_core.options import Options, option


class Heavy(Options):
    scale: float = option(float(np.float64(1)), "How much.")
