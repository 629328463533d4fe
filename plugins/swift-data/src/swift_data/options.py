"""Options of verbs that read rows."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import field_validator

from swift_core.options import FamilyOptions, HubOptions, Options, Several, option

DATASETS = "Datasets: a name, file, folder, pattern or hub dataset; name#500 takes 500 rows."

FILTERS = "Filters of rows: NAME, or NAME:OPTION=VALUE (swift-plugin-row-filters); in YAML {name: NAME, option: value}."


class ReadingOptions(Options):
    """Options for reading rows, of every verb that reads rows."""

    columns: dict[str, str] = option(dict, 'Rename fields: {"question": "query"} reads question as query.', also=("columns",))
    roles: dict[str, Literal["system", "user", "assistant", "tool"]] = option(
        dict, 'Rename roles: {"bot": "assistant"} reads messages of the role bot as assistant messages.'
    )
    redact: bool = option(False, "Replace personal data in texts by its kind, such as [EMAIL]; needs a detector (swift-plugin-pii).")
    media_folder: str = option("", "Folder of images, audio and video; default: the folder of the data file.", also=("media_dir",))


class SkippingOptions(ReadingOptions):
    """Options of every verb that processes rows and may skip invalid ones."""

    on_error: Literal["stop", "skip"] = option("stop", "What happens on an invalid row: stop the run, or skip and list the row.")
    max_skipped: str = option(
        "1%", "Maximum skipped rows, as a share (1%) or a number (20); more stop the run.", pattern=r"^\d+(\.\d+)?%$|^\d+$"
    )


class DataOptions(SkippingOptions):
    """Options of every verb that trains on rows."""

    streaming: bool = option(
        False,
        "Tokenise rows during training and store none, for datasets larger than the disk.",
        also=("streaming",),
    )
    probabilities: list[float] = option(
        list,
        "Mix the data sets: the probability of each that the next row is one of its rows, in the order of --dataset.",
        also=("interleave_prob", "interleave_probs"),
    )
    stopping: Literal["first_exhausted", "all_exhausted"] = option(
        "first_exhausted",
        "With probabilities: end with the first data set whose rows are used up, or with the last one, while the others are repeated.",
        also=("stopping_strategy",),
    )
    buffer: int = option(10_000, "Shuffle buffer of a streamed dataset, in rows.", ge=1, also=("shuffle_buffer_size",))

    @field_validator("probabilities", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        """Read 0.7,0.3."""
        items = [item for part in (value if isinstance(value, list) else [value]) for item in str(part).split(",")]
        return [item for item in items if item.strip()] if value not in (None, []) else []

    @field_validator("probabilities")
    @classmethod
    def _sum(cls, value: list[float]) -> list[float]:
        if value and (abs(sum(value) - 1) > 1e-6 or min(value) <= 0):
            raise ValueError("must be positive numbers whose sum is 1")
        return value


class DatasetOptions(Options):
    """Options of every verb that needs rows."""

    dataset: Several = option(..., DATASETS, min_length=1)


class RowsOptions(DatasetOptions):
    """Options of every verb that trains on datasets."""

    val_dataset: Several = option(list, "Validation datasets.", also=("validation",))
    data: DataOptions = option(DataOptions, "How rows are read.")


class RowFileOptions(Options):
    """Options of every verb that writes rows to a file."""

    overwrite: bool = option(False, "Replace the output file if it exists.", also=("exist_ok",), affects_result=False)


class SeenOptions(FamilyOptions, HubOptions):
    """Options of data check and data show; with a model, rows are tokenised."""

    model: str = option(
        "", "Model whose tokenizer is used; default: rows are not tokenised.", also=("model_id_or_path", "model_name_or_path")
    )
    data: ReadingOptions = option(ReadingOptions, "How rows are read.")


class FirstRowsOptions(DatasetOptions, HubOptions):
    """Options for reading the first rows of a dataset, of which kind they are."""

    data: SkippingOptions = option(SkippingOptions, "How rows are read.")


class DataCheckOptions(DatasetOptions, SeenOptions):
    """Options of swift data check."""

    val_dataset: Several = option(list, "Validation datasets: none of their rows may be among the training rows.", also=("validation",))
    pii: bool = option(False, "Search for personal data with every installed detector (swift-plugin-pii).")
    against: Several = option(list, "Evaluation data: report rows that contain one of its questions.")


class DataShowOptions(SeenOptions):
    """Options of swift data show."""

    dataset: Several = option(..., "The dataset: a name, a file, a hub dataset; its first file.", min_length=1)
    row: int = option(1, "Row number, as in messages: counted from 1, in line-based files the line.", ge=1)
    tokens: bool = option(False, "Show token boundaries.")


class DataConvertOptions(RowFileOptions, DatasetOptions, HubOptions):
    """Options of swift data convert."""

    output: str = option(..., "File for the rows (JSONL).", affects_result=False)
    against: Several = option(list, "Evaluation data: exclude rows that contain one of its questions.")
    filters: Several = option(list, FILTERS, also=("filter",))
    kind: Literal["", "chat", "text", "preference", "label", "prompt", "retrieval", "tagged"] = option(
        "", "Kind of the rows; default: the most frequent kind among the first rows."
    )
    data: SkippingOptions = option(SkippingOptions, "How rows are read.")
