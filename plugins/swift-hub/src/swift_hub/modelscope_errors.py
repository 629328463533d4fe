"""The exceptions of the modelscope package as errors for users."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from swift_core.contract import Reference, SwiftError, UsageError
from swift_core.system import network
from swift_hub import downloads


@contextmanager
def explained(reference: Reference) -> Iterator[None]:
    """Convert modelscope's exceptions to errors of the reference.

    Raises:
        UsageError: modelscope is missing, no such repository, access denied, or offline and not cached.
        SwiftError: the network or the hub failed, or the disk is full.
    """
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
