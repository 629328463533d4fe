"""Recipes: several runs from one YAML file, in order."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swift_core.contract import RunResult, Watch


def recipe(path: str | Path, *, runs: str | Path = "runs", watch: Watch | None = None) -> RunResult:
    """Run the steps of a recipe.

    Raises:
        UsageError: the recipe is invalid.
        SwiftError: a step failed; the steps before it are kept.
    """
    from swift_recipes.runner import RecipeRun

    return RecipeRun(Path(path), Path(runs), watch=watch).run()
