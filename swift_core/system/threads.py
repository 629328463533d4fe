"""Thread settings of processes that compute: threads that wait for each other sleep.

OpenMP's threads spin while they wait, each on a core. On a machine that has other work that core is wanted elsewhere, and a training
step takes many times its own CPU time. Asleep they cost no more on a quiet machine, and little on a busy one.
"""

from __future__ import annotations

import os

# By library, what makes its threads sleep; what the user has said of any of these variables holds for that library as a whole.
_OPENMP = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}  # of all; of Intel's and LLVM's, which other settings can override
_OPENMP_USERS = (*_OPENMP, "GOMP_SPINCOUNT", "KMP_LIBRARY")
_OPENBLAS = {"OPENBLAS_THREAD_TIMEOUT": "4"}  # sleep after 2^4 cycles instead of 2^26


def waiting() -> dict[str, str]:
    """Return the variables of a computing process: waiting threads sleep, unless the user has configured otherwise."""
    found: dict[str, str] = {}
    for names, asleep in ((_OPENMP_USERS, _OPENMP), (tuple(_OPENBLAS), _OPENBLAS)):
        said = {name: os.environ[name] for name in names if name in os.environ}
        found |= said or asleep
    return found
