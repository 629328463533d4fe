"""Options of the launcher."""

from __future__ import annotations

from swift_core.options import Options, option


class RayOptions(Options):
    """Which Ray, and what a worker gets of it."""

    address: str = option("", "Ray cluster, such as auto or ray://head:10001; empty: one on this machine, for the while.")
    gpu: bool = option(False, "Give each worker a GPU.")
    cpus: float = option(1.0, "CPUs that Ray counts for a worker.", gt=0)
    storage: str = option("", "Where the resulting checkpoint is copied to as well: a path or s3://…, gs://…, whatever Ray writes to.")
    max_restarts: int = option(0, "How often failed workers are started again, from the last checkpoint.", ge=0)
