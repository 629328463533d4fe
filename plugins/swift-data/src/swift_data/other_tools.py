"""Options of other tools about rows that need no counterpart in any verb that reads rows, each with the reason."""

from __future__ import annotations

from collections.abc import Mapping

_CACHE = "tokenised rows are stored, and used again as long as rows, tokenizer and options are the same"
_WORKERS = "rows are tokenised before the first step, in batches"

IGNORED: Mapping[str, str] = {
    "load_from_cache_file": _CACHE,
    "overwrite_cache": _CACHE,
    "use_cache=false": _CACHE,
    "dataset_num_proc": _WORKERS,
    "preprocessing_num_workers": _WORKERS,
    "preprocessing_batch_size": _WORKERS,
    "map_batch_size": _WORKERS,
    "download_mode": "a dataset is pinned by the hash of its files",
    "strict": "an invalid row stops the run, unless --data.on-error skip says otherwise",
    "remove_unused_columns": "fields that are not used are listed, and never reach the model",
    "dataset_shuffle=true": "rows are shuffled every epoch",
    "val_dataset_shuffle": "the order of the validation rows does not affect the validation loss",
}
