"""The hub `ms:org/name@revision`: ModelScope, through the modelscope package and its cache."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swift_hub import downloads
from swift_hub.modelscope_errors import explained

from swift_core.contract import Progress, Reference, Select
from swift_core.system import network, remember_sha256, sha256_of
from swift_plugin_hubs.uploads import public_already, token_from

_REACH_SECONDS = 5


class ModelScopeHub:
    """ModelScope; honours MODELSCOPE_API_TOKEN, MODELSCOPE_ENDPOINT and MODELSCOPE_CACHE as modelscope does."""

    def __init__(self, options: None = None) -> None:
        del options

    def fetch(self, reference: Reference, *, select: Select, progress: Progress | None = None) -> Path:
        """Download the selected files and return their folder in ModelScope's cache; modelscope verifies the hashes.

        Args:
            reference: the repository and revision.
            select: chooses among the names of the files of the repository.
            progress: called with the downloaded bytes of each file.

        Raises:
            UsageError: modelscope is missing, no such repository, access denied, offline and not cached, or what `select` raises.
            SwiftError: the network failed, or the disk is full.
        """
        if network.offline():
            return self._cached(reference, select)
        with explained(reference):
            from modelscope_hub import HubApi

            _check_reachable(str(reference))
            endpoint = HubApi().resolve_endpoint_for_read(reference.name)
            listed = HubApi(endpoint=endpoint).list_repo_files(reference.name, "model", revision=reference.revision or None)
            files = {item.path: item.sha256 or "" for item in listed if not item.is_dir}
        chosen = select(list(files))
        with explained(reference):
            wanted = {name: files[name] for name in chosen}
            folder = _complete(reference, wanted, progress)
            if folder is None:
                folder = _snapshot(
                    reference,
                    endpoint=endpoint,
                    allow_patterns=[glob.escape(name) for name in wanted],
                    progress_callbacks=[_callback(progress)] if progress else [],
                )
                for name, sha256 in wanted.items():
                    if sha256:
                        remember_sha256(folder / name, sha256)
        return folder

    def _cached(self, reference: Reference, select: Select) -> Path:
        """Return the folder that was downloaded earlier; its files are those that were selected then."""
        with explained(reference):
            folder = _snapshot(reference, local_files_only=True)
        select([path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()])
        return folder

    def push(self, folder: Path, reference: Reference, *, message: str, private: bool) -> str:
        """Upload all files of a folder as one commit, creating the repository if needed, and return the repository's URL.

        Raises:
            UsageError: modelscope is missing, MODELSCOPE_API_TOKEN is not set or has no write access, or `private` and the repository
                exists and is public.
            SwiftError: the network failed.
        """
        with explained(reference):
            from modelscope_hub import HubApi
            from modelscope_hub.constants import Visibility
            from modelscope_hub.errors import NotExistError

            token = token_from("MODELSCOPE_API_TOKEN", reference)
            _check_reachable(str(reference))
            api = HubApi(token=token)
            try:
                public = api.get_repo(reference.name, "model").visibility != Visibility.PRIVATE
            except NotExistError:
                public = False
                api.create_repo(reference.name, "model", visibility="private" if private else "public")
            if private and public:
                raise public_already(reference)
            api.upload_folder(reference.name, "model", folder, commit_message=message, revision=reference.revision or "master")
        return f"https://www.modelscope.cn/models/{reference.name}"


def _snapshot(reference: Reference, **options: Any) -> Path:
    from modelscope.hub.snapshot_download import snapshot_download

    return Path(snapshot_download(reference.name, revision=reference.revision or None, **options))


def _complete(reference: Reference, files: Mapping[str, str], progress: Progress | None) -> Path | None:
    """Return the cached folder if it has all of the files with these SHA-256; modelscope itself would read each of them at every call."""
    from modelscope_hub.errors import CacheError

    try:
        folder = _snapshot(reference, local_files_only=True)
    except CacheError:
        return None
    paths = {folder / name: sha256 for name, sha256 in files.items()}
    if not all(sha256 and path.is_file() for path, sha256 in paths.items()):
        return None
    return folder if sha256_of(paths, progress) == paths else None


def _check_reachable(where: str) -> None:
    """Send one request to the hub: modelscope itself retries nine times, for 23 seconds, before it reports that there is no network.

    Raises:
        SwiftError: the hub can't be reached.
    """
    import requests
    from modelscope_hub.config import HubConfig

    endpoint = str(HubConfig().endpoint)
    try:
        requests.head(endpoint, timeout=_REACH_SECONDS)
    except requests.RequestException as error:
        raise downloads.no_network(ConnectionError(f"{endpoint} can't be reached ({_cause(error)})"), where) from error


def _cause(error: BaseException) -> str:
    """Return the innermost exception's message."""
    while found := error.__cause__ or error.__context__:
        error = found
    return str(error) or type(error).__name__


def _callback(progress: Progress) -> type[Any]:
    """Return a callback class for modelscope, which creates one instance per file."""
    from modelscope.hub.callback import ProgressCallback

    class Callback(ProgressCallback):  # type: ignore[misc]
        done = 0

        def update(self, size: int) -> None:
            self.done += size
            progress(self.filename, self.done, self.file_size or None)

    return Callback
