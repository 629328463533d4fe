"""The hub `hf:org/name@revision`: Hugging Face, through huggingface_hub and its cache, which other tools share.

The resulting folder is the snapshot of one commit, named by the commit hash, whatever branch or tag was requested.
"""

from __future__ import annotations

import glob
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_hub import downloads

from swift_core.contract import Progress, Reference, Select, SwiftError, UsageError
from swift_core.system import network
from swift_plugin_hubs.interruptible import interruptibly
from swift_plugin_hubs.uploads import public_already, token_from

if TYPE_CHECKING:
    from huggingface_hub._revision import ResolvedRevision


class HuggingFaceHub:
    """Hugging Face; honours HF_TOKEN, HF_ENDPOINT and HF_HOME as huggingface_hub does."""

    def __init__(self, options: None = None) -> None:
        del options

    def fetch(self, reference: Reference, *, select: Select, progress: Progress | None = None) -> Path:
        """Download the selected files of one commit and return the snapshot's folder; a cached commit needs no network.

        Args:
            reference: the repository and revision.
            select: chooses among the names of the files of the commit.
            progress: called with the downloaded bytes.

        Raises:
            UsageError: no such repository or revision, gated, offline and not cached, or what `select` raises.
            SwiftError: the network failed, or the disk is full.
            KeyboardInterrupt: it was interrupted. Complete files are kept; huggingface_hub downloads the unfinished ones from the start.
        """
        from huggingface_hub import HfApi, snapshot_download

        offline = network.offline()
        with _explained(reference):
            revision = HfApi().resolve_revision(reference.name, revision=reference.revision or None, local_files_only=offline)
            names = _names(reference, revision, offline)
        chosen = select(names)
        with _explained(reference):
            folder = interruptibly(
                lambda stopping: snapshot_download(
                    reference.name,
                    revision=revision,
                    allow_patterns=[glob.escape(name) for name in chosen],
                    local_files_only=offline,
                    tqdm_class=_bar(reference.name, progress or (lambda *_: None), stopping),
                )
            )
        return Path(folder)

    def headers(self, reference: Reference) -> dict[str, dict[str, dict[str, Any]]]:
        """Return the headers of the safetensors files of a commit, by file, read by range requests; empty if it has none.

        Raises:
            UsageError: no such repository or revision, gated, or offline.
            SwiftError: the network failed.
        """
        from huggingface_hub import HfApi
        from huggingface_hub.errors import NotASafetensorsRepoError

        with _explained(reference):
            try:
                found = HfApi().get_safetensors_metadata(reference.name, revision=reference.revision or None)
            except NotASafetensorsRepoError:
                return {}
        return {
            name: {
                tensor: {"dtype": info.dtype, "shape": list(info.shape), "data_offsets": list(info.data_offsets)}
                for tensor, info in file.tensors.items()
            }
            for name, file in found.files_metadata.items()
        }

    def push(self, folder: Path, reference: Reference, *, message: str, private: bool) -> str:
        """Upload all files of a folder as one commit, creating the repository if needed, and return the commit's URL.

        Raises:
            UsageError: HF_TOKEN is not set or has no write access, or `private` and the repository exists and is public.
            SwiftError: the network failed.
        """
        from huggingface_hub import HfApi
        from huggingface_hub.errors import RepositoryNotFoundError

        api = HfApi(token=token_from("HF_TOKEN", reference))
        with _explained(reference):
            try:
                public = not api.repo_info(reference.name).private
            except RepositoryNotFoundError:
                public = False
                api.create_repo(reference.name, private=private)
            if private and public:
                raise public_already(reference)
            commit = api.upload_folder(
                repo_id=reference.name, folder_path=folder, commit_message=message, revision=reference.revision or None
            )
        return str(commit.commit_url)


def _names(reference: Reference, revision: ResolvedRevision, offline: bool) -> list[str]:
    """Return the names of the files of a commit: from the cached list of the commit, else from the hub, else those that were downloaded."""
    from huggingface_hub import HfApi, get_cached_repo_tree, snapshot_download
    from huggingface_hub.errors import CachedRepoTreeNotFoundError
    from huggingface_hub.hf_api import RepoFile

    try:
        return [item.path for item in get_cached_repo_tree(reference.name, revision=revision.resolved)]
    except CachedRepoTreeNotFoundError:
        if not offline:
            found = HfApi().list_repo_tree(reference.name, recursive=True, revision=revision.resolved)
            return [item.path for item in found if isinstance(item, RepoFile)]
    folder = Path(snapshot_download(reference.name, revision=revision, local_files_only=True))
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def _bar(name: str, progress: Progress, stopping: threading.Event) -> type[Any]:
    """Return a tqdm class that draws nothing and reports bytes to `progress`; huggingface_hub opens several bars at once.

    Its updates raise KeyboardInterrupt, on which huggingface_hub removes the unfinished file, once `stopping` is set.
    """
    from tqdm.std import tqdm

    maximum = 0

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs | {"file": io.StringIO()})

        def update(self, n: float | None = 1) -> bool | None:
            if stopping.is_set():
                raise KeyboardInterrupt
            return super().update(n)  # type: ignore[no-any-return]

        def display(self, *args: Any, **kwargs: Any) -> None:
            nonlocal maximum
            if self.unit == "B" and self.n > maximum:
                maximum = int(self.n)
                progress(name, maximum, int(self.total) if self.total else None)

    return Bar


@contextmanager
def _explained(reference: Reference) -> Iterator[None]:
    """Convert huggingface_hub's exceptions to SwiftError."""
    import httpx2
    from huggingface_hub import errors

    where = str(reference)
    try:
        yield
    except errors.GatedRepoError as error:
        page = f"https://huggingface.co/{reference.name}"
        raise UsageError(
            "the repository is gated and needs approval by its owner",
            code="HUB-020",
            where=where,
            hint=f"Request access at {page}, then log in: hf auth login",
        ) from error
    except errors.RepositoryNotFoundError as error:
        hint = "Check the spelling; if it is private, log in: hf auth login. Models of ModelScope are ms:org/name."
        raise UsageError("no such repository, or it is private", code="HUB-021", where=where, hint=hint) from error
    except errors.RevisionNotFoundError as error:
        raise UsageError(
            f"the repository has no revision '{reference.revision}'", code="HUB-022", where=where, hint="Name a branch, tag or commit."
        ) from error
    except errors.HFValidationError as error:
        raise UsageError(f"invalid repository name: {error}", code="HUB-023", where=where, hint="Write hf:org/name.") from error
    except (errors.LocalEntryNotFoundError, errors.RevisionResolutionError) as error:
        network.refuse_offline(f"'{reference}'")
        raise downloads.no_network(error.__cause__ if isinstance(error.__cause__, Exception) else error, where) from error
    except errors.LocalTokenNotFoundError as error:
        raise UsageError("not logged in", code="HUB-024", where=where, hint="Log in: hf auth login") from error
    except errors.HfHubHTTPError as error:
        if error.response.status_code in (401, 403):
            message = f"access denied: {error.server_message or error}"
            raise UsageError(message, code="HUB-025", where=where, hint="Log in with a token that has access: hf auth login") from error
        raise SwiftError(f"the hub failed: {error}", code="HUB-026", where=where, hint="Try again later.") from error
    except httpx2.HTTPError as error:
        raise downloads.no_network(error, where) from error
    except OSError as error:
        with downloads.cache_errors(Path(where)):
            raise error
