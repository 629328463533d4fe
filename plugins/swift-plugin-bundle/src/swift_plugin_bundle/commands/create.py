"""`swift bundle create`."""

from __future__ import annotations

import re
from pathlib import Path

import click

from swift_core.contract import UsageError

_UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}
_LEAST = 10**6  # bytes of a part


@click.command("create", short_help="Create a bundle of everything that a recipe needs")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), help="File to write; default: NAME.pyz here.")
@click.option("--platform", default="", help="Platform tag of the wheels, such as manylinux_2_28_x86_64; default: this machine's.")
@click.option("--python", default="", help="Python version of the other machine, such as 3.11; default: the running one.")
@click.option("--split", default="", help="Maximum size of a part, such as 700MB; default: 3.9GB.")
@click.option("--dry-run", is_flag=True, help="Fetch and resolve, show the size and the contents, and write nothing.")
def create(recipe: Path, output: Path | None, platform: str, python: str, split: str, dry_run: bool) -> None:  # noqa: PLR0917
    """Create a bundle of RECIPE: wheels for one platform and Python, checkpoints, data sets, local files, locks, licences and hashes.

    Checkpoints and data sets are fetched to this machine's caches first. The size is shown before anything is written.
    """
    from swift_core.cli import Screen, print_table
    from swift_plugin_bundle.archive import MOST
    from swift_plugin_bundle.create import create as write, plan
    from swift_plugin_bundle.wheels import Target

    most = min(_bytes(split), MOST) if split else MOST
    target = output or Path(f"{recipe.stem}.pyz")
    if target.exists():
        raise UsageError(f"'{target}' exists", code="BUNDLE-001", where="output", hint="Choose another name, or remove it.")
    with Screen() as screen:
        what = plan(recipe, Target(platform, python), screen.download)
    rows = [("checkpoint", each["name"], each["licence"] or "not stated") for each in what.contents.checkpoints]
    rows += [("data", each["name"], each["licence"] or "not stated") for each in what.contents.data]
    print_table(("kind", "name", "licence"), rows)
    click.echo(f"packages: {len(what.packages)} of others, {len(what.own)} of swift; files: {len(what.contents.files)}")
    click.echo(f"size: {what.size / 1e6:,.0f} MB")
    if dry_run:
        return
    digest = write(what, target, split=most)
    for part in sorted(target.parent.glob(f"{target.name}*")):
        click.echo(f"written: {part} ({part.stat().st_size / 1e6:,.0f} MB)")
    click.echo(f"sha256 of the index: {digest}")


def _bytes(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kKmMgG]?[bB]?)", text.strip())
    size = int(float(found[1]) * _UNITS.get(found[2].lower(), 0)) if found else 0
    if size < _LEAST:
        raise UsageError(
            f"'{text}' is not a valid part size",
            code="BUNDLE-002",
            where="split",
            hint="Write a number with MB or GB, at least 1MB: --split 700MB.",
        )
    return size
