"""Pack everything that a recipe needs into one archive, for machines without a network."""

from __future__ import annotations

from pathlib import Path

import click


@click.group("bundle", short_help="Pack everything that a recipe needs into one archive, for machines without a network")
def command() -> None:
    """Pack everything that a recipe needs into one archive, for machines without a network."""


@command.command("show", short_help="List the contents of a bundle")
@click.argument("bundle", type=click.Path(path_type=Path))
def show(bundle: Path) -> int:
    """List the checkpoints, data sets and packages of BUNDLE, with their licences."""
    return _installer(["show"], bundle)


@command.command("check", short_help="Check every file of a bundle")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--sha256", default="", help="Expected SHA-256 of the index, as given by the creator of the bundle.")
def check(bundle: Path, sha256: str) -> int:
    """Check every file of BUNDLE against its hash."""
    return _installer([*_expected(sha256), "check"], bundle)


@command.command("install", short_help="Install a bundle into a new folder")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--sha256", default="", help="Expected SHA-256 of the index, as given by the creator of the bundle.")
def install(bundle: Path, folder: Path, sha256: str) -> int:
    """Install BUNDLE into FOLDER, as `python BUNDLE install FOLDER` does where swift is not installed.

    All files are checked before anything is written.
    """
    return _installer([*_expected(sha256), "install", str(folder)], bundle)


def _expected(sha256: str) -> list[str]:
    return ["--sha256", sha256] if sha256 else []


def _installer(words: list[str], bundle: Path) -> int:
    from swift_plugin_bundle.installer import main

    return main(words, bundle)


def _add() -> None:
    from swift_plugin_bundle.commands.create import create

    command.add_command(create)


_add()
