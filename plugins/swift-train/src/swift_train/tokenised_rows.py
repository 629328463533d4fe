"""Rows that were tokenised ahead of a training: `--tokenize-only`, which ms-swift calls `export --to_cached_dataset`.

The tokens are stored on this machine under a key of everything that they depend on, so that a training finds them or makes them anew.
The output has the names of the rows: `train/rows.json` and, of a validation split, `val/rows.json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract import DataChoice, Run, UsageError
from swift_core.system import check_free, write_json

if TYPE_CHECKING:
    from swift_train.samples import Samples
    from swift_train.stream import Stream

FILE = "rows.json"
_HINT = "Create it with: swift sft --model MODEL --dataset ROWS --tokenize-only --output FOLDER; then name FOLDER/train."


def write(run: Run, rows: Samples | Stream, heldout: Samples | None) -> tuple[None, dict[str, Any]]:
    """Write the names of the rows to the run's output, if it has one, and return the figures of the run.

    Raises:
        UsageError: the output exists, or the rows are streamed, of which no tokens are stored.
    """
    lengths: Any = getattr(rows, "lengths", None)
    if lengths is None:
        raise UsageError("tokens of streamed rows are not stored", code="TRAIN-168", where="tokenize_only", hint="Omit --data.streaming.")
    figures = {"rows": len(lengths), "tokens": int(lengths.sum()), "heldout_rows": len(heldout) if heldout else 0}
    if run.options.get("output"):
        output = Path(run.options["output"])
        check_free(output, overwrite=bool(run.options.get("overwrite")))
        task = run.part("task").options
        split = {"validation_ratio": task.get("validation_ratio") or 0.0, "seed": task.get("seed", 42)}
        parts = {"train": (run.datasets, split)}
        if heldout:
            parts["val"] = (run.validation, {}) if run.validation else (run.datasets, split)
        for part, (choices, how) in parts.items():
            (output / part).mkdir(parents=True, exist_ok=True)
            write_json(output / part / FILE, {"part": part, "datasets": [_named(choice) for choice in choices], **how})
    return None, figures


def words(train: Sequence[str], held_out: Sequence[str]) -> list[str]:
    """Return the flags that mean these folders of rows, which ms-swift calls --cached_dataset and --cached_val_dataset.

    Raises:
        UsageError: a folder is none of these, or they were split differently.
    """
    found = [_read(folder, "--cached_dataset") for folder in train]
    validation = [_read(folder, "--cached_val_dataset") for folder in held_out]
    splits = {(each.get("validation_ratio", 0.0), each.get("seed", 42)) for each in found}
    if len(splits) > 1:
        message = "these datasets were split into training and validation rows in different ways"
        raise UsageError(
            message, code="TRAIN-169", where="--cached_dataset", hint="Tokenise them with the same --split_dataset_ratio and --seed."
        )
    made = ["--dataset", *(json.dumps(choice) for each in found for choice in each["datasets"])]
    ((ratio, seed),) = splits
    if ratio:
        made += ["--validation-ratio", str(ratio), "--seed", str(seed)]
        made += [] if validation else ["--eval-strategy", "no"]
    own = [choice for each in validation if "seed" not in each for choice in each["datasets"]]
    return [*made, *(["--val-dataset", *map(json.dumps, own)] if own else [])]


def _named(choice: DataChoice) -> dict[str, Any]:
    """Return a dataset as it is written in a file of options."""
    given = {name: value for name, value in choice.options.items() if value not in (None, "", [], {})}
    if choice.name == "file" and (path := str(given.get("path", ""))):
        given["path"] = str(Path(path).expanduser().resolve()) if Path(path).expanduser().exists() else path
    more: dict[str, Any] = {"columns": dict(choice.columns)} if choice.columns else {}
    more |= {"weight": choice.weight} if choice.weight != 1 else {}
    return {"name": f"{choice.name}#{choice.limit}" if choice.limit else choice.name, **given, **more}


def _read(folder: str, where: str) -> Mapping[str, Any]:
    try:
        found: dict[str, Any] = json.loads((Path(folder) / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UsageError(f"{folder} has no {FILE}", code="TRAIN-170", where=where, hint=_HINT) from None
    return found
