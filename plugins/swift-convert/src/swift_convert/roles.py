"""Roles that convert checkpoints: quantizers and exporters, and loading their results for comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch.nn import Module

    from swift_core.contract import Run
    from swift_core.runs import Report


class OfflineQuantizer(Protocol):
    """Checkpoint folder → quantized checkpoint folder."""

    def quantize(self, checkpoint: Path, out: Path, calibration: Path | None) -> Mapping[str, Any]:
        """Write the quantized checkpoint to `out` and return its figures."""
        ...


@runtime_checkable
class ReportingQuantizer(OfflineQuantizer, Protocol):
    """A quantizer that reports its progress."""

    def report_to(self, progress: Callable[..., None]) -> None:
        """Set the function to call with progress, which takes the arguments of `Report.progress`; called before `quantize`."""
        ...


@runtime_checkable
class LoadableQuantizer(OfflineQuantizer, Protocol):
    """A quantizer that can load its results in its engine's environment, if transformers in the main environment can't."""

    @property
    def own_reader(self) -> bool:
        """True if results with these options must be loaded by `load`."""
        ...

    def load(self, checkpoint: Path) -> Module:
        """Load what `quantize` has written, as a module that is called as transformers' are: `model(input_ids=…).logits`."""
        ...


class Exporter(Protocol):
    """Checkpoint folder → another format."""

    def export(self, checkpoint: Path, out: Path) -> Path:
        """Write to `out` and return the file or folder that a reader opens."""
        ...


class Exported(Protocol):
    """The result of an exporter, loaded in the engine that will serve it."""

    @property
    def vocabulary(self) -> int:
        """Size of the vocabulary."""
        ...

    def logits(self, ids: Sequence[int]) -> Any:
        """Logits after each of the tokens: `len(ids)` × `vocabulary` float32 in a buffer (bytes, an array)."""
        ...

    def encode(self, text: str) -> Sequence[int]:
        """The tokens of a rendered conversation: control tokens in it are read as such, and none are added."""
        ...


@runtime_checkable
class LoadableExporter(Exporter, Protocol):
    """An exporter that can load what it writes, so that each run of it ends with a comparison of result and source."""

    @property
    def max_kl(self) -> float:
        """The divergence from the source, in nats a token, past which a result with these options is broken, not merely coarser."""
        ...

    def load(self, exported: Path) -> Exported:
        """Load what `export` has returned.

        Raises:
            NotImplementedError: this engine can't load such a result, though others can: it is not compared, and the reason is reported.
        """
        ...


@runtime_checkable
class TrustingExporter(LoadableExporter, Protocol):
    """A loadable exporter whose results may bring Python code of their own, as the source did."""

    def load_trusted(self, exported: Path) -> Exported:
        """`load`, where the user has named the source as trusted: its code may run."""
        ...


@runtime_checkable
class CalibratingExporter(Exporter, Protocol):
    """An exporter that looks at rows (`ExporterSpec.calibrates`)."""

    def calibrate(self, run: Run, report: Report) -> None:
        """Look at the run's `datasets`, as its options `data` and `calibration` say; called before `export`."""
        ...


@runtime_checkable
class CheckingExporter(Exporter, Protocol):
    """An exporter that compares result and source itself, before the result appears, where a model predicts no next token."""

    @property
    def checked(self) -> Mapping[str, Any]:
        """Figures that `export` has measured; empty if it compared nothing, and the result is to be compared as any other's."""
        ...
