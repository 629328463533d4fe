"""The hub `ms:org/name@revision`: ModelScope, through the modelscope package and its cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from swift_hub import downloads

from swift_core.contract import Progress, Reference, SwiftError, UsageError
from swift_core.plugins import format_of
from swift_core.system import network
from swift_plugin_hubs import patterns

_REACH_SECONDS = 5


class ModelScopeHub:
    """ModelScope; honours MODELSCOPE_API_TOKEN, MODELSCOPE_ENDPOINT and MODELSCOPE_CACHE as modelscope does."""

    def __init__(self, options: None = None) -> None:
        del options

    def fetch(self, reference: Reference, *, only: Sequence[str] = (), code: bool = False, progress: Progress | None = None) -> Path:
        """Download the repository and return its folder in ModelScope's cache; modelscope verifies the hashes.

        Args:
            reference: the repository and revision.
            only: glob patterns of paths in the repository; by default the safetensors, configuration and tokenizer files at its
                top level. Pickled files are never downloaded.
            code: download Python files too.
            progress: called with the downloaded bytes of each file.

        Raises:
            UsageError: modelscope is missing, no such repository, access denied, no weights, or offline and not cached.
            SwiftError: the network failed, or the disk is full.
        """
        with _explained(reference):
            from modelscope.hub.snapshot_download import snapshot_download

            if not network.offline():
                _check_reachable(str(reference))
            folder = Path(
                snapshot_download(
                    reference.name,
                    revision=reference.revision or None,
                    allow_patterns=list(only or (*patterns.MODEL, *(patterns.CODE if code else ()))),
                    ignore_patterns=[*(() if only else patterns.OTHERS), *patterns.PICKLES],
                    local_files_only=network.offline(),
                    progress_callbacks=[_callback(progress)] if progress else [],
                )
            )
        if not only:
            format_of(folder)
        return folder

    def push(self, folder: Path, reference: Reference, *, message: str, private: bool = True) -> str:
        """Upload a checkpoint folder as one commit, creating the repository if needed, and return the repository's URL.

        Raises:
            UsageError: modelscope is missing, or the token has no write access.
            SwiftError: the network failed.
        """
        network.refuse_offline(f"'{reference}'")
        with _explained(reference):
            from modelscope_hub import HubApi
            from modelscope_hub.errors import AlreadyExistsError

            _check_reachable(str(reference))
            api = HubApi()
            with suppress(AlreadyExistsError):
                api.create_repo(reference.name, "model", visibility="private" if private else "public")
            api.upload_folder(
                reference.name,
                "model",
                folder,
                commit_message=message,
                revision=reference.revision or "master",
                ignore_patterns=list(patterns.PICKLES),
            )
        return f"https://www.modelscope.cn/models/{reference.name}"


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


@contextmanager
def _explained(reference: Reference) -> Iterator[None]:
    """Convert modelscope's exceptions to SwiftError."""
    where = str(reference)
    try:
        from modelscope_hub import errors
        from requests.exceptions import HTTPError, RequestException
    except ImportError as error:
        raise UsageError(
            "the hub ms needs the package modelscope", code="HUB-027", where=where, hint="pip install 'swift-plugin-hubs[ms]'"
        ) from error
    try:
        yield
    except (HTTPError, errors.APIError) as error:
        cause = error.__cause__ if isinstance(error.__cause__, errors.HubError) else error
        if isinstance(cause, errors.NotExistError):
            raise UsageError(
                "no such repository or revision, or it is private", code="HUB-028", where=where, hint="Check the spelling."
            ) from error
        if isinstance(cause, errors.AuthenticationError | errors.PermissionDeniedError):
            raise UsageError(
                "access denied", code="HUB-029", where=where, hint="Log in with a token that has access: modelscope login"
            ) from error
        raise SwiftError(f"the hub failed: {cause}", code="HUB-030", where=where, hint="Try again later.") from error
    except errors.CacheError:
        network.refuse_offline(f"'{reference}'")
        raise
    except (errors.NetworkError, RequestException) as error:
        raise downloads.no_network(error, where) from error
    except errors.HubError as error:
        raise SwiftError(str(error), code="HUB-031", where=where, hint=error.suggestion) from error
    except OSError as error:
        with downloads.cache_errors(Path(where)):
            raise error
