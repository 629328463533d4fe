"""What the factories of the specs build, as Protocols.

The first group speaks in paths, strings and JSON, so its members may run in an environment of their own (`isolated`). The
second touches an `nn.Module` and shares the training process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch.nn import Module
    from torch.optim import Optimizer as TorchOptimizer

    from swift_core.errors import SwiftError
    from swift_core.references import Reference
    from swift_core.specs import Command, ModelFamily

ISOLATABLE = frozenset({"hub", "quantizer", "exporter", "backend", "evaluator", "launcher"})

Event = Mapping[str, Any]
Watch = Callable[[Event], None]  # called with each event of a run, in order
Progress = Callable[[str, int, int | None], None]  # (what, bytes done, bytes in all or None)


class Hub(Protocol):
    """Turns a reference into a folder, once: verified, pinned and cached."""

    def fetch(self, reference: Reference, *, only: Sequence[str] = (), code: bool = False, progress: Progress | None = None) -> Path:
        """Download what `only` (glob patterns; empty: a model's files) names and return the folder.

        `code` brings the repository's own Python files too: the user has named this very revision as trusted.

        Raises:
            UsageError: no such reference, or it can't be trusted.
            SwiftError: the network failed; what was read is kept, and the next call goes on from there.
        """
        ...

    def push(self, folder: Path, reference: Reference, *, message: str, private: bool = True) -> str:
        """Upload a checkpoint folder and return where it is now."""
        ...


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row as its source has it, and where that was: `file` for people, `number` counted from 1.

    `folder` is where the row's relative media paths begin (None: it has no such place). `fault` says why the row could not be read,
    where the rows after it still can; whoever makes sense of rows raises it (`swift_core.rows.normalise` does).
    """

    data: Any
    file: str
    number: int
    folder: Path | None = None
    fault: SwiftError | None = None


class Dataset(Protocol):
    """Rows in the order of their source. Built as `factory(options)`; `fetch` brings what it needs onto this machine."""

    def fetch(self, progress: Progress | None = None) -> Sequence[Path]:
        """Make the source local, and return its files in the order of their rows; instant the second time."""
        ...

    def rows(self) -> Iterator[RawRow]:
        """Each row; one that can't be read has a `fault`.

        Raises:
            UsageError: the source is missing, empty or unreadable from some row on, with file and row number.
        """
        ...


class OfflineQuantizer(Protocol):
    """Checkpoint folder → quantized checkpoint folder."""

    def quantize(self, checkpoint: Path, out: Path, calibration: Path | None) -> Mapping[str, Any]:
        """Write the quantized checkpoint to `out` and return its figures."""
        ...


class LoadableQuantizer(OfflineQuantizer, Protocol):
    """A quantizer whose results transformers here can't load: they are compared with their source where its engine is."""

    @property
    def own_reader(self) -> bool:
        """Whether that is so of what these options make."""
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
    """What an exporter has written, loaded in the engine that will serve it."""

    @property
    def vocabulary(self) -> int:
        """How many tokens it predicts among."""
        ...

    def logits(self, ids: Sequence[int]) -> Any:
        """What it predicts after each of the tokens: `len(ids)` × `vocabulary` float32 in a buffer (bytes, an array)."""
        ...

    def encode(self, text: str) -> Sequence[int]:
        """The tokens of a rendered conversation: control tokens in it are read as such, and none are added."""
        ...


class LoadableExporter(Exporter, Protocol):
    """An exporter that can load what it writes, so that each run of it ends with a comparison of result and source."""

    @property
    def max_kl(self) -> float:
        """The divergence from the source, in nats a token, past which a result with these options is broken, not merely coarser."""
        ...

    def load(self, exported: Path) -> Exported:
        """Load what `export` has returned.

        Raises:
            NotImplementedError: this engine can't load such a result, though others can: it is not compared, and the reason is told.
        """
        ...


class CheckingExporter(Exporter, Protocol):
    """An exporter that compares result and source itself, before the result appears, where a model predicts no next token."""

    @property
    def checked(self) -> Mapping[str, Any]:
        """What `export` has found out; empty where it compared nothing, and the result is to be compared as any other's."""
        ...


@dataclass(frozen=True, slots=True)
class Server:
    """A running OpenAI-compatible server: `url` ends in `/v1`; `models` are the names that clients send, the base first.

    `folder` is the run folder of a server that `swift serve` or `swift_core.serve` started.
    """

    url: str
    models: tuple[str, ...]
    api_key: str | None = None
    folder: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What an engine is to serve, and where. A dataclass, so that it can grow without breaking the backends there are.

    `name` is what clients call the model, `adapters` are more names beside it; `python` is the interpreter that has the engine;
    `trust_remote_code` is true where the user has named this very repository and revision as trusted, `runtime_adapters` where adapters
    are to be added and dropped while it runs.
    """

    checkpoint: Path
    name: str
    adapters: Mapping[str, Path] = field(default_factory=dict)
    host: str = "127.0.0.1"
    port: int
    api_key: str | None = None
    python: str
    trust_remote_code: bool = False
    runtime_adapters: bool = False


class Backend(Protocol):
    """An engine is a command line: the core starts it, watches it, and stops it."""

    def command(self, serving: Serving) -> Command:
        """The process that serves.

        The key goes into the environment, never into the arguments, which every user of the machine can read. A backend that serves
        no adapters refuses them with a UsageError.
        """
        ...

    def add_adapter(self, server: Server, name: str, path: Path) -> None:
        """Serve one more adapter, from a folder that the server can read. Whether it acts, the caller sees."""
        ...

    def drop_adapter(self, server: Server, name: str) -> None:
        """Stop serving an adapter."""
        ...


@dataclass(frozen=True, slots=True)
class Scores:
    """Results by task: `values["gsm8k"]["accuracy"]`, and the folder of the predictions behind them."""

    values: Mapping[str, Mapping[str, float]]
    folder: Path


class Evaluator(Protocol):
    """Questions to a server → scores."""

    def evaluate(self, server: Server, tasks: Sequence[str], out: Path) -> Scores:
        """Run the tasks and keep every prediction below `out`."""
        ...


class Launcher(Protocol):
    """Starts the worker processes of a run folder and returns when all have ended."""

    def launch(self, run: Path, *, processes: int, nodes: int, environment: Mapping[str, str], watch: Watch) -> int:
        """Start `processes` workers a node, pass each event of rank 0 to `watch`, and return the exit code.

        Ctrl-C once asks the workers to stop and save; twice ends them at once.
        """
        ...


# -- from here on, nn.Modules: these share the training process ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model with what turns text (and images) into its inputs: a tokenizer, or a processor that holds one."""

    model: Module
    processor: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Loading:
    """How a model is loaded. A dataclass, so that it can grow without breaking the loaders there are.

    `device` is "cpu", "cuda", "meta" (shapes only), …; `dtype` "float32", "bfloat16", "float16"; `arguments` come from a load-time
    quantizer; `trust_remote_code` is true where the user has named this very repository and revision as trusted.
    """

    device: str
    dtype: str
    attention: str = "auto"
    trust_remote_code: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)


class Loader(Protocol):
    """Checkpoint folder → model and processor."""

    def load(self, checkpoint: Path, family: ModelFamily, loading: Loading) -> Loaded:
        """Load it. Raises UsageError for missing, truncated or pickled weights, or code that is not trusted."""
        ...


class LoadQuantizer(Protocol):
    """Quantizes while a model is loaded."""

    def load_arguments(self, family: ModelFamily, dtype: str) -> Mapping[str, Any]:
        """Keyword arguments for the loader."""
        ...

    def ready_to_train(self, model: Module) -> None:
        """Do what a loaded model needs before an adapter on it is trained; most need nothing."""
        ...


class Tuner(Protocol):
    """Which weights learn, and how what they learned is kept."""

    def attach(self, model: Module, family: ModelFamily) -> Module:
        """Make the model trainable: adapters added, all else frozen (or all of it trainable)."""
        ...

    def restore(self, model: Module, folder: Path, *, trainable: bool = False, name: str = "default") -> Module:
        """Put what `save` wrote onto a freshly loaded base; an adapter under `name`, beside others that are on it already."""
        ...

    def parameter_groups(self, model: Module) -> list[dict[str, Any]]:
        """Groups of trainable parameters for the optimizer: `params`, and `mult` where a group's rate differs (LoRA+)."""
        ...

    def save(self, model: Module, folder: Path, weights: Mapping[str, Any] | None = None) -> None:
        """Write what was learned as the ecosystem does (PEFT adapter files, or safetensors).

        `weights` are the full, gathered tensors by name where a parallel strategy has sharded the module's own.
        """
        ...

    def merge(self, model: Module) -> Module:
        """Fold the adapter into the base: full precision in, full precision out."""
        ...


class OptimizerFactory(Protocol):
    """Parameter groups → optimizer."""

    def build(self, groups: Sequence[Mapping[str, Any]], lr: float) -> TorchOptimizer:
        """An optimizer over the groups."""
        ...
