"""Give an engine the weights so far: an adapter under a name of its own, or all weights by a reload."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from swift_serve.client import Refused
from swift_serve.roles import ReloadingBackend
from swift_train.checkpoints import run_on_all_ranks

from swift_core.contract import BackendSpec, SwiftError, UsageError
from swift_core.plugins import registry
from swift_rollouts.running import RunningServer

if TYPE_CHECKING:
    from swift_serve.roles import Backend
    from swift_train.online import Session

    from swift_core.contract import Server
    from swift_rollouts.engine_options import Rollout

FOLDER = "policies"  # in the run folder


@dataclass(frozen=True, slots=True)
class Version:
    """Weights: those after a number of generations were trained, or after a step within one."""

    generations: int  # that were trained
    step: int = 0  # within a generation; 0: between two

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"step-{self.step:06d}" if self.step else f"version-{self.generations:06d}"


class Policy:
    """Publishes versions of the weights.

    An adapter never gets a name that the engine has seen: caches of prefixes go by the name. Without an adapter, the engine has one version
    at a time.

    Args:
        session: the running training.
        server: the engine.
        rollout: options of the engine.
        earlier: run folders that this run resumes, which may have the weights of earlier versions.
    """

    def __init__(self, session: Session, server: Server, rollout: Rollout, earlier: Sequence[Path]) -> None:
        self._session, self._server = session, server
        self._folder = Path(rollout.folder) / session.report.folder.resolve().name if rollout.folder else session.report.folder / FOLDER
        self._earlier = [folder / FOLDER for folder in earlier]
        self._prefix = f"swift-{secrets.token_hex(3)}"
        self._adapter = session.trainer.adapter
        known = {} if self._adapter or rollout.is_url else {Version(0): server.models[0]}
        self._published: dict[Version, str] = known
        choice = session.run.parts.get("backend")
        self._backend: Backend | RunningServer = choice.build() if choice else RunningServer()
        self._spec = registry().spec(choice, BackendSpec) if choice else None

    def publish(self, version: Version) -> str:
        """Let the engine serve a version, and return the model name to ask for. Collective.

        If the version is not the present one (a run was resumed), its weights are read from the run folder.

        Raises:
            UsageError: the engine can't load weights while it runs, or refuses them.
            SwiftError: the engine failed; the disk is full.
        """
        if version not in self._published:
            name = self._load(version)
            if not self._adapter:
                self._clear([known for known in self._published if known != version])
            self._published[version] = name
        return self._published[version]

    def retire(self, oldest: int) -> None:
        """Drop the versions before `oldest`, and those within generations, which no request uses any more. Called on every process."""
        old = [known for known in self._published if known.step or known.generations < oldest]
        self._clear(old if self._adapter else [])

    def close(self) -> None:
        """Drop every version, at the end of a run; called on every process."""
        self._clear(list(self._published))

    def _clear(self, versions: Sequence[Version]) -> None:
        """Drop versions from the engine and the disk."""
        for version in versions:
            name = self._published.pop(version)
            if not self._session.strategy.writer:
                continue
            if self._adapter:
                try:
                    self._backend.drop_adapter(self._server, name.rpartition(":")[2])
                except SwiftError as error:
                    self._session.report.note(f"WARNING: the engine keeps old weights: {error}")
            shutil.rmtree(self._folder / version.name, ignore_errors=True)

    def _load(self, version: Version) -> str:
        session, folder = self._session, self._folder / version.name
        kept = next((path for path in (folder, *(root / folder.name for root in self._earlier)) if path.is_dir()), None)
        if session.strategy.reduce(float(session.strategy.writer and kept is not None), "max"):
            folder = kept or folder
        else:
            session.trainer.write_weights(folder)
        name = f"{self._prefix}-{version.name}"

        def load() -> None:
            if not session.strategy.writer:
                return
            if self._adapter:
                self._backend.add_adapter(self._server, name, folder.resolve())
            else:
                self._reload(folder.resolve())

        run_on_all_ranks(session.strategy, folder, load)
        if not self._adapter:
            return self._server.models[0]
        return self._spec.adapter_model(self._server.models[0], name) if self._spec else name

    def _reload(self, folder: Path) -> None:
        assert isinstance(self._backend, ReloadingBackend | RunningServer)  # checked before the run
        try:
            self._backend.reload(self._server, folder)
        except Refused as refused:
            message = f"the rollout engine does not load other weights: {refused.message}"
            hint = "Start it with --runtime-weights and, for the embedded server, --adapter-folder; or train an adapter (--tuner lora)."
            raise UsageError(message, code="RL-006", where="rollout", hint=hint) from refused
