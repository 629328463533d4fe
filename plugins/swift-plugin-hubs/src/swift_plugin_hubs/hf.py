"""`hf:org/name@revision`: Hugging Face, through huggingface_hub and its cache, which other tools share.

The folder that comes out is the snapshot of one commit: its name is the commit's hash, whatever branch was asked for.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from swift_hub import downloads

from swift_core.contract.errors import SwiftError, UsageError
from swift_core.contract.reference import Reference
from swift_core.contract.roles import Progress
from swift_plugin_hubs import patterns


class HuggingFaceHub:
    """Reads HF_TOKEN, HF_ENDPOINT and HF_HOME as huggingface_hub does."""

    def __init__(self, options: None = None) -> None:
        del options

    def fetch(self, reference: Reference, *, only: Sequence[str] = (), code: bool = False, progress: Progress | None = None) -> Path:
        """The snapshot folder; instant and without network once a commit is cached.

        Args:
            only: glob patterns of paths in the repository; without it the safetensors, configuration and tokenizer files
                at its top. Pickled files are never fetched.

        Raises:
            UsageError: no such repository or revision, gated, no safetensors in it, or offline and not cached.
            SwiftError: the network failed, or the disk is full.
        """
        from huggingface_hub import get_cached_repo_tree

        wanted = only or (*patterns.MODEL, *(patterns.CODE if code else ()))
        folder = _snapshot(reference, reference.revision, wanted, () if only else patterns.OTHERS, progress)
        if only or any(folder.glob("*.safetensors")):
            return folder
        names = [item.path for item in get_cached_repo_tree(reference.name, revision=folder.name)]
        gguf = patterns.matching(names, ("*.gguf",))
        if len(gguf) == 1:
            return _snapshot(reference, folder.name, (*patterns.MODEL, gguf[0]), (), progress)
        if gguf:
            raise UsageError(
                f"the repository has {len(gguf)} GGUF files: {', '.join(gguf[:6])}",
                where=str(reference),
                hint="Choose one of them by name.",
            )
        pickled = patterns.matching(names, patterns.PICKLES)
        if pickled:
            raise UsageError(
                f"the repository has only pickled weights ({pickled[0]}), which can run code when they are read, so they are refused",
                where=str(reference),
                hint="Look for a revision with safetensors (often @refs/pr/N), or a conversion by someone you trust.",
            )
        raise UsageError("the repository has no weights (*.safetensors)", where=str(reference), hint="Is it a data set, or another name?")

    def push(self, folder: Path, reference: Reference, *, message: str, private: bool = True) -> str:
        """Upload a checkpoint folder as one commit, making the repository where there is none; returns the commit's address.

        Raises:
            UsageError: no token, or no right to write there.
            SwiftError: the network failed.
        """
        from huggingface_hub import HfApi

        api = HfApi()
        downloads.refuse_offline(f"'{reference}'")
        with _explained(reference):
            api.create_repo(reference.name, private=private, exist_ok=True)
            commit = api.upload_folder(
                repo_id=reference.name,
                folder_path=folder,
                commit_message=message,
                revision=reference.revision or None,
                ignore_patterns=list(patterns.PICKLES),
            )
        return str(commit.commit_url)


def _snapshot(reference: Reference, revision: str, only: Sequence[str], ignore: Sequence[str], progress: Progress | None) -> Path:
    from huggingface_hub import snapshot_download

    with _explained(reference):
        folder = snapshot_download(
            reference.name,
            revision=revision or None,
            allow_patterns=list(only),
            ignore_patterns=[*ignore, *patterns.PICKLES],
            local_files_only=downloads.offline(),
            tqdm_class=_bar(reference.name, progress or (lambda *_: None)),
        )
    return Path(folder)


def _bar(name: str, progress: Progress) -> type[Any]:
    """A tqdm class that draws nothing and tells `progress` of the bytes; huggingface_hub makes several bars of it at once."""
    from tqdm.std import tqdm

    most = 0

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs | {"file": io.StringIO()})

        def display(self, *args: Any, **kwargs: Any) -> None:
            nonlocal most
            if self.unit == "B" and self.n > most:
                most = int(self.n)
                progress(name, most, int(self.total) if self.total else None)

    return Bar


@contextmanager
def _explained(reference: Reference) -> Iterator[None]:
    """huggingface_hub's errors, in words."""
    import httpx2
    from huggingface_hub import errors

    where = str(reference)
    try:
        yield
    except errors.GatedRepoError as error:
        page = f"https://huggingface.co/{reference.name}"
        raise UsageError(
            "gated: its owner wants you to ask for access", where=where, hint=f"Ask at {page}, then log in: hf auth login"
        ) from error
    except errors.RepositoryNotFoundError as error:
        hint = "Check the spelling; where it is private, log in: hf auth login. ModelScope's models are ms:org/name."
        raise UsageError("no such repository, or it is private", where=where, hint=hint) from error
    except errors.RevisionNotFoundError as error:
        raise UsageError(
            f"the repository has no revision '{reference.revision}'", where=where, hint="Name a branch, tag or commit."
        ) from error
    except errors.HFValidationError as error:
        raise UsageError(f"not a repository's name: {error}", where=where, hint="Write hf:org/name.") from error
    except errors.LocalEntryNotFoundError as error:
        downloads.refuse_offline(f"'{reference}'")
        raise downloads.no_network(error.__cause__ if isinstance(error.__cause__, Exception) else error, where) from error
    except errors.LocalTokenNotFoundError as error:
        raise UsageError("not logged in", where=where, hint="hf auth login") from error
    except errors.HfHubHTTPError as error:
        if error.response.status_code in (401, 403):
            raise UsageError(
                f"refused: {error.server_message or error}", where=where, hint="Log in with a token that may do this: hf auth login"
            ) from error
        raise SwiftError(f"the hub failed: {error}", where=where, hint="Try again in a while.") from error
    except httpx2.HTTPError as error:
        raise downloads.no_network(error, where) from error
    except OSError as error:
        with downloads.cache_errors(Path(where)):
            raise error
