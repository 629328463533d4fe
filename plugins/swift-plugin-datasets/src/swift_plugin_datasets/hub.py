"""The dataset `hub`: a dataset of Hugging Face or ModelScope, through the datasets library, which runs no repository code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from swift_hub import downloads

from swift_core.contract import Progress, RawRow, SwiftError, UsageError, reference
from swift_core.system import network
from swift_plugin_datasets import modelscope
from swift_plugin_datasets.arrow_rows import drop_null_fields
from swift_plugin_datasets.library_offline import library_offline
from swift_plugin_datasets.lines import checked_row, raw_row
from swift_plugin_datasets.options import HubOptions


class HubDataset:
    """One split of a dataset repository."""

    def __init__(self, options: HubOptions) -> None:
        self._options = options
        self._reference = reference.parse_reference(options.path if ":" in options.path else f"hf:{options.path}", where="dataset")
        if self._reference.scheme not in ("hf", "ms"):
            message = f"hub datasets are read from hf: and ms:, not from {self._reference.scheme}: ('{self._reference}')"
            raise UsageError(message, code="DATA-125", where="dataset", hint=self._alternative())

    def fetch(self, progress: Progress | None = None) -> tuple[Path, ...]:
        """Return the split's files in the library's cache; empty if it is streamed.

        Raises:
            UsageError: no such dataset, subset or split, gated, or offline and not cached.
            SwiftError: the network failed.
        """
        loaded = self._load()
        return () if self._options.streaming else tuple(Path(file["filename"]) for file in loaded.cache_files)

    def rows(self) -> Iterator[RawRow]:
        """Yield every row of the split; images and other media stay encoded: {bytes, path}.

        Raises:
            UsageError, SwiftError: as `fetch`.
        """
        loaded = self._load()
        stream = loaded if self._options.streaming else loaded.to_iterable_dataset()
        name = f"{self._reference} {self._options.split}"
        with self._errors():
            for number, data in enumerate(stream.decode(False) if stream.features else stream, 1):
                yield raw_row(checked_row({column: drop_null_fields(value) for column, value in data.items()}, name, number), name, number)

    def _alternative(self) -> str:
        return f"Download it and name its files; or use hf:{self._reference.name} if Hugging Face has it."

    def _load(self) -> Any:
        there = self._reference.scheme == "ms"
        place = str(modelscope.folder(self._reference)) if there else self._reference.name
        if self._options.streaming and not there:
            network.refuse_offline(f"'{self._reference}', to be streamed,")
        with self._errors(), library_offline():
            from datasets import DownloadConfig, load_dataset

            try:
                return load_dataset(
                    place,
                    self._options.subset or None,
                    data_files=[*self._options.files] or None,
                    split=self._options.split,
                    revision=None if there else self._reference.revision or None,
                    streaming=self._options.streaming,
                    download_config=DownloadConfig(local_files_only=network.offline()),
                )
            except ValueError as error:  # an unknown subset or split; the message lists the known ones
                message = str(error).partition("\n")[0]
                raise UsageError(message, code="DATA-126", where=str(self._reference), hint="Set the options subset and split.") from error

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Convert the library's exceptions to SwiftError."""
        where = str(self._reference)
        try:
            from datasets.exceptions import DatasetNotFoundError, DatasetsError
        except ImportError as error:
            raise UsageError(
                "hub datasets need the datasets library", code="DATA-127", where=where, hint="pip install 'swift-plugin-datasets[hub]'"
            ) from error
        try:
            yield
        except DatasetNotFoundError as error:
            network.refuse_offline(f"'{where}'")
            raise UsageError(
                "no such dataset, or it is private or gated",
                code="DATA-128",
                where=where,
                hint="Check the spelling, or log in: hf auth login",
            ) from error
        except ConnectionError as error:
            network.refuse_offline(f"'{where}'")
            raise downloads.no_network(error, where) from error
        except (DatasetsError, OSError, ValueError) as error:
            raise SwiftError(
                f"the dataset can't be read: {error}", code="DATA-129", where=where, hint="Download its files and name one of them."
            ) from error
