"""Give an engine the weights so far: an adapter under a name of its own, or all weights by a reload."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from swift_serve.backend_mixins import AdapterRoutes
from swift_serve.roles import ReloadingBackend
from swift_train.checkpoints import run_on_all_ranks

from swift_core.contract import BackendSpec, SwiftError, UsageError
from swift_core.plugins import registry

if TYPE_CHECKING:
    from swift_serve.roles import Backend
    from swift_train.online import Session

    from swift_core.contract import Server
    from swift_rollouts.options import Rollout

FOLDER = "policies"  # in the run folder


class Policy:
    """Publishes versions of the weights. Version N are those after N generations were trained.

    An adapter never gets a name that the engine has seen: caches of prefixes go by the name.

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
        self._published: dict[int, str] = {}
        choice = session.run.parts.get("backend")
        self._backend: Backend | AdapterRoutes = choice.build() if choice else AdapterRoutes()
        self._spec = registry().spec(choice, BackendSpec) if choice else None

    def publish(self, version: int) -> str:
        """Let the engine serve a version, and return the model name to ask for. Collective.

        If the version is not the present one (a run was resumed), its weights are read from the run folder.

        Raises:
            UsageError: the engine can't load weights while it runs, or refuses them.
            SwiftError: the engine failed; the disk is full.
        """
        if version not in self._published:
            self._published[version] = self._load(version) if self._session.trainer.adapter or version else self._server.models[0]
        return self._published[version]

    def retire(self, oldest: int) -> None:
        """Drop the versions before `oldest` from the engine and the disk. Called by the writer, when no request uses them."""
        for version in [known for known in self._published if known < oldest]:
            name = self._published.pop(version)
            if self._session.trainer.adapter:
                try:
                    self._backend.drop_adapter(self._server, name.rpartition(":")[2])
                except SwiftError as error:
                    self._session.report.note(f"WARNING: the engine keeps old weights: {error}")
            shutil.rmtree(self._path(version), ignore_errors=True)

    def forget(self, oldest: int) -> None:
        """Do on the other processes what `retire` does on the writer."""
        self._published = {version: name for version, name in self._published.items() if version >= oldest}

    def _load(self, version: int) -> str:
        session, folder = self._session, self._path(version)
        kept = next((path for path in (folder, *(root / folder.name for root in self._earlier)) if path.is_dir()), None)
        if session.strategy.reduce(float(session.strategy.writer and kept is not None), "max"):
            folder = kept or folder
        else:
            session.trainer.write_weights(folder)
        name = f"{self._prefix}-{version}"

        def load() -> None:
            if not session.strategy.writer:
                return
            if session.trainer.adapter:
                self._backend.add_adapter(self._server, name, folder.resolve())
            elif isinstance(self._backend, ReloadingBackend):
                self._backend.reload(self._server, folder.resolve())
            else:
                hint = "Train an adapter (--tuner lora), or choose another --rollout."
                raise UsageError("the rollout engine can't load other weights while it runs", code="RL-006", where="rollout", hint=hint)

        run_on_all_ranks(session.strategy, folder, load)
        if not session.trainer.adapter:
            return self._server.models[0]
        return self._spec.adapter_model(self._server.models[0], name) if self._spec else name

    def _path(self, version: int) -> Path:
        return self._folder / f"version-{version:06d}"
