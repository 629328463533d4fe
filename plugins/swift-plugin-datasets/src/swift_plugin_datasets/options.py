"""Options of the data sets."""

from __future__ import annotations

from swift_core.options.model import Options, option


class FileOptions(Options):
    """Files of rows."""

    path: str = option(..., "A file, a folder, or a pattern such as data/**/*.jsonl.", min_length=1)


class HubOptions(Options):
    """A data set of Hugging Face."""

    path: str = option(..., "The repository: org/name, or hf:org/name@revision.", min_length=1)
    subset: str = option("", "The configuration in it; empty where it has only one.", also=("config_name",))
    split: str = option("train", "Which of its parts.", min_length=1)
    streaming: bool = option(False, "Read the rows over the network as they are needed, and keep none.")


class IdentityOptions(Options):
    """Who the model shall say it is."""

    model_name: str = option(..., "The name that the model shall give itself.", min_length=1)
    model_author: str = option(..., "Who the model shall say has made it.", min_length=1)
