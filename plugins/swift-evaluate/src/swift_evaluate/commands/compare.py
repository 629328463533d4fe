"""`swift eval compare`: compare evaluations question by question."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from swift_core.cli import note, print_table
from swift_core.system import format_value

if TYPE_CHECKING:
    from swift_evaluate.comparison import Comparison
    from swift_evaluate.paired_statistics import Paired

_COLUMNS = ("task", "metric", "first", "second", "difference", "95% interval", "p", "items", "result")


@click.command("compare", short_help="Compare evaluations question by question")
@click.argument("baseline", type=click.Path(path_type=Path))
@click.argument("others", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--metric", "metrics", multiple=True, metavar="TEXT", help="Compare this metric only; repeatable.")
@click.option(
    "--fail-if-worse-by",
    "tolerance",
    type=click.FloatRange(min=0),
    metavar="NUMBER",
    help="Exit with code 1 if a score is worse by more than this, and the difference is not within noise.",
)
@click.option("--seed", default=0, show_default=True, help="Seed of the bootstrap.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    baseline: Path, *, others: tuple[Path, ...], metrics: tuple[str, ...], tolerance: float | None, seed: int, as_json: bool
) -> int:
    """Compare each of OTHERS with BASELINE, on the questions that both have answered. Each is a run folder of swift eval.

    The comparison is paired: p is that of the exact McNemar test for right and wrong answers, else of a bootstrap over clusters.
    """
    from swift_evaluate.comparison import compare

    found = [compare(baseline, other, metrics=metrics, seed=seed) for other in others]
    failed = [name for each in found for name in each.failures(tolerance)] if tolerance is not None else []
    if as_json:
        click.echo(json.dumps([asdict(each) for each in found], indent=2, default=str))
    else:
        for each in found:
            _print(each, tolerance)
    if failed:
        click.echo(f"worse by more than {format_value(tolerance)}: {', '.join(failed)}", err=True)
    return int(bool(failed))


def _print(found: Comparison, tolerance: float | None) -> None:
    """Print a row per task and metric, and in words what it means."""
    click.echo(f"{found.baseline} → {found.other}")
    for text in found.notes:
        note(text)
    rows = [(task, metric, *_row(result)) for task, metrics in found.results.items() for metric, result in metrics.items()]
    print_table(_COLUMNS, rows)
    for task, metrics in found.results.items():
        for metric, result in metrics.items():
            for text in _words(result, tolerance):
                click.echo(f"{task} {metric}: {text}")


def _row(result: Paired) -> tuple[str, ...]:
    low, high = result.interval
    numbers = (format_value(result.first), format_value(result.second), f"{result.difference:+.4g}", f"{low:+.4g} – {high:+.4g}")
    return (*numbers, f"{result.p:.2g}", str(result.n), result.verdict)


def _words(result: Paired, tolerance: float | None) -> list[str]:
    """Return what the numbers mean."""
    changed = f"{result.fixed} items rose and {result.broken} fell"
    if not result.difference:
        texts = [f"no difference; {changed}."]
    elif result.verdict == "within noise":
        enough = "" if result.needed is None else f" About {result.needed:,} items would show a difference of this size."
        texts = [f"the difference is within noise; {changed}.{enough}"]
    else:
        texts = [f"the second is {result.verdict} by {abs(result.difference):.4g}; {changed} ({result.method})."]
    if tolerance is not None and result.verdict == "within noise" and result.detectable > tolerance:
        texts.append(
            f"only differences above {result.detectable:.2g} would be seen with {result.n} items: a loss of {tolerance} may be missed."
        )
    return texts
