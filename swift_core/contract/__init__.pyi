from swift_core.contract.callback import CallbackSpec as CallbackSpec
from swift_core.contract.errors import (
    DiskFull as DiskFull, ErrorRecord as ErrorRecord, NotWritable as NotWritable, PeerFailed as PeerFailed, Problems as Problems,
    Stopped as Stopped, SwiftError as SwiftError, UsageError as UsageError, suggestion as suggestion,
)  # fmt: skip
from swift_core.contract.events import (
    AdapterEvent as AdapterEvent, ErrorEvent as ErrorEvent, Event as Event, KilledEvent as KilledEvent, MetricEvent as MetricEvent,
    NoteEvent as NoteEvent, ProgressEvent as ProgressEvent, ReadyEvent as ReadyEvent, ResultEvent as ResultEvent,
    ResultRecord as ResultRecord, Status as Status, Watch as Watch, note as note, progress as progress,
)  # fmt: skip
from swift_core.contract.format import FormatSpec as FormatSpec
from swift_core.contract.hookspecs import API_VERSION as API_VERSION, hookimpl as hookimpl
from swift_core.contract.problem import Problem as Problem
from swift_core.contract.reference import Reference as Reference, parse_reference as parse_reference
from swift_core.contract.roles import (
    ISOLATABLE as ISOLATABLE, Dataset as Dataset, EngineEnvironment as EngineEnvironment, Hub as Hub, Launcher as Launcher,
    Progress as Progress, RawRow as RawRow, Select as Select, Server as Server,
)  # fmt: skip
from swift_core.contract.run import (
    Choice as Choice, DataChoice as DataChoice, Json as Json, Run as Run, RunResult as RunResult, Source as Source,
)  # fmt: skip
from swift_core.contract.settings import Settings as Settings
from swift_core.contract.specs import (
    BackendSpec as BackendSpec, DatasetSpec as DatasetSpec, Engine as Engine, EvaluatorSpec as EvaluatorSpec,
    ExporterSpec as ExporterSpec, FlagFor as FlagFor, HubSpec as HubSpec, LauncherSpec as LauncherSpec, LoaderSpec as LoaderSpec,
    ModelFamily as ModelFamily, Named as Named, OptimizerSpec as OptimizerSpec, ParallelSpec as ParallelSpec,
    QuantizerSpec as QuantizerSpec, Ref as Ref, SectionSpec as SectionSpec, Spec as Spec, TaskSpec as TaskSpec, TunerSpec as TunerSpec,
)  # fmt: skip
from swift_core.contract.verb import VerbSpec as VerbSpec
from swift_core.contract.version import __version__ as __version__
