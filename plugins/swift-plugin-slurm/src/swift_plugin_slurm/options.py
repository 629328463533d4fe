"""Options of the launcher: what is asked of Slurm, in sbatch's own words."""

from __future__ import annotations

from swift_core.options import Options, option


class SlurmOptions(Options):
    """What is asked of Slurm; empty: the cluster's default."""

    submit: bool = option(True, "Submit the job; otherwise the script is written, and that is all.")
    follow: bool = option(True, "Wait for the job and show what it does.")
    job_name: str = option("", "Name of the job; empty: that of the run folder.")
    partition: str = option("", "Partition.")
    account: str = option("", "Account to charge.")
    qos: str = option("", "Quality of service.")
    time: str = option("", "Time limit, such as 2-12:00:00.")
    gpus: int = option(0, "GPUs a node; the number of processes is another option.", ge=0)
    cpus: int = option(0, "CPUs a node.", ge=0)
    memory: str = option("", "Memory a node, such as 200G.")
    constraint: str = option("", "Features that the nodes must have.")
    extra: list[str] = option(list, "More of sbatch's own arguments, such as --exclusive or --mail-type=END.")
    setup: list[str] = option(list, "Lines of shell before the run: module load cuda, source venv/bin/activate.")
    python: str = option("", "Interpreter on the nodes; empty: the one that runs this.")
    grace: int = option(90, "Seconds before the time limit at which the job is told to save and end.", ge=0)
    port: int = option(29500, "Port at which the nodes meet, on the first of them.", ge=1, le=65535)
    max_restarts: int = option(0, "How often a failed group of workers is started again, from its last checkpoint.", ge=0)
    wait: float = option(300.0, "Seconds that the last node may take to come.", gt=0)
