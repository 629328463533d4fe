"""Data sets of ModelScope: the repository's data files, through the modelscope package and its cache; no code of it is downloaded."""

from __future__ import annotations

from pathlib import Path

from swift_hub import downloads

from swift_core.contract import Reference, SwiftError, UsageError
from swift_core.system import network

_NO_DATA = ["*.py", "*.pkl", "*.pickle", "*.pt", "*.bin", "*.sh"]


def folder(reference: Reference) -> Path:
    """Download a data set and return its folder in ModelScope's cache.

    Raises:
        UsageError: modelscope is missing, no such data set, access denied, or offline and not cached.
        SwiftError: the network failed.
    """
    where = str(reference)
    try:
        from modelscope.hub.snapshot_download import snapshot_download
        from modelscope_hub import errors
        from requests.exceptions import RequestException
    except ImportError as error:
        hint = "pip install 'swift-plugin-hubs[ms]'"
        raise UsageError("data sets of ModelScope need the package modelscope", code="DATA-148", where=where, hint=hint) from error
    offline = network.offline()
    try:
        found = snapshot_download(
            reference.name,
            revision=reference.revision or None,
            repo_type="dataset",
            local_files_only=offline,
            ignore_patterns=_NO_DATA,
        )
    except errors.CacheError:
        network.refuse_offline(f"'{where}'")
        raise
    except (errors.NetworkError, RequestException) as error:
        raise downloads.no_network(error, where) from error
    except errors.HubError as error:
        cause = error.__cause__ if isinstance(error.__cause__, errors.HubError) else error
        if isinstance(cause, errors.NotExistError | errors.AuthenticationError | errors.PermissionDeniedError):
            hint = "Check the spelling, or log in: modelscope login"
            raise UsageError("no such data set, or it is private or gated", code="DATA-149", where=where, hint=hint) from error
        raise SwiftError(f"the hub failed: {cause}", code="DATA-150", where=where, hint="Try again later.") from error
    return Path(found)
