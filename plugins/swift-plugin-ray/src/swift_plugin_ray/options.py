"""Options of the Ray launcher."""

from __future__ import annotations

from swift_core.options import Options, option


class RayOptions(Options):
    """The Ray cluster and the resources of each worker."""

    address: str = option("", "Address of the Ray cluster, such as auto or ray://head:10001; empty: a temporary local instance.")
    gpu: bool = option(False, "Reserve one GPU per worker.")
    cpus: float = option(1.0, "CPUs to reserve per worker.", gt=0)
    storage: str = option("", "Additional destination for the resulting checkpoint: a path, s3://…, gs://… or other storage of Ray.")
    max_restarts: int = option(0, "Maximum number of restarts of failed workers, from the last checkpoint.", ge=0)
