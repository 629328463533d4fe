"""Options of the Slurm launcher, named after sbatch's arguments."""

from __future__ import annotations

from swift_nodes.options import ClusterOptions

from swift_core.options import option


class SlurmOptions(ClusterOptions):
    """The Slurm job; empty and 0 leave the cluster's default."""

    submit: bool = option(True, "Submit the job; otherwise only write the batch script.")
    job_name: str = option("", "Name of the job; empty: that of the run folder.")
    partition: str = option("", "Partition to submit to.")
    account: str = option("", "Account to charge.")
    qos: str = option("", "Quality of service (QOS).")
    time: str = option("", "Time limit, such as 2-12:00:00.")
    cpus: int = option(0, "CPUs per node.", ge=0)
    memory: str = option("", "Memory per node, such as 200G.")
    constraint: str = option("", "Node features that the job requires.")
    extra: list[str] = option(list, "Further sbatch arguments, such as --exclusive or --mail-type=END.")
    setup: list[str] = option(list, "Shell commands to run on the nodes before the run, such as module load cuda.")
    python: str = option("", "Python interpreter on the nodes; empty: the path of the current one.")
    grace: int = option(90, "Seconds before the time limit at which the job is signalled to save a checkpoint and end; 0: never.", ge=0)
    wait: float = option(300.0, "Maximum time in seconds for all nodes to join.", gt=0)
