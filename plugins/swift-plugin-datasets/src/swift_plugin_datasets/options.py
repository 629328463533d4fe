"""Options of the datasets."""

from __future__ import annotations

from swift_core.options import Names, Options, option


class FileOptions(Options):
    """Options of `file`."""

    path: str = option(..., "A file, a folder, or a glob pattern such as data/**/*.jsonl.", min_length=1)


class HubOptions(Options):
    """Options of `hub`."""

    path: str = option(..., "Dataset repository: org/name, hf:org/name@revision, or ms:org/name.", min_length=1)
    subset: str = option("", "Subset (configuration) of the dataset; may be empty if it has only one.", also=("config_name",))
    split: str = option("train", "Split of the dataset.", min_length=1)
    files: Names = option(list, "Files of the repository to read, such as data/a.jsonl; default: all of the split.", also=("data_files",))
    streaming: bool = option(False, "Stream the rows over the network without downloading the dataset.")


class IdentityOptions(Options):
    """Options of `identity`."""

    model_name: str = option(..., "Name that the model gives as its own.", min_length=1)
    model_author: str = option(..., "Author that the model names as its creator.", min_length=1)
