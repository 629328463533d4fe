"""The hub `hf:org/name@revision`: Hugging Face, through huggingface_hub and its cache, which other tools share.

The resulting folder is the snapshot of one commit, named by the commit hash, whatever branch or tag was requested.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from swift_hub import downloads

from swift_core.contract import Progress, Reference, SwiftError, UsageError
from swift_core.system import network
from swift_plugin_hubs import patterns


class HuggingFaceHub:
    """Hugging Face; honours HF_TOKEN, HF_ENDPOINT and HF_HOME as huggingface_hub does."""

    def __init__(self, options: None = None) -> None:
        del options

    def fetch(self, reference: Reference, *, only: Sequence[str] = (), code: bool = False, progress: Progress | None = None) -> Path:
        """Download a snapshot and return its folder; a cached commit needs no network.

        Args:
            reference: the repository and revision.
            only: glob patterns of paths in the repository; by default the safetensors, configuration and tokenizer files at its
                top level, or the GGUF file if it has one and no safetensors. Pickled files are never downloaded.
            code: download Python files too.
            progress: called with the downloaded bytes.

        Raises:
            UsageError: no such repository or revision, gated, no safetensors in it, or offline and not cached.
            SwiftError: the network failed, or the disk is full.
        """
        from huggingface_hub import get_cached_repo_tree

        selected = only or (*patterns.MODEL, *(patterns.CODE if code else ()))
        folder = _snapshot(reference, reference.revision, selected, () if only else patterns.OTHERS, progress)
        if only or any(folder.glob("*.safetensors")):
            return folder
        names = [item.path for item in get_cached_repo_tree(reference.name, revision=folder.name)]
        gguf = patterns.matching(names, ("*.gguf",))
        if len(gguf) == 1:
            return _snapshot(reference, folder.name, (*patterns.MODEL, gguf[0]), (), progress)
        if gguf:
            raise UsageError(
                f"the repository has {len(gguf)} GGUF files: {', '.join(gguf[:6])}",
                code="HUB-017",
                where=str(reference),
                hint="Name one of them.",
            )
        pickled = patterns.matching(names, patterns.PICKLES)
        if pickled:
            raise UsageError(
                f"the repository has only pickled weights ({pickled[0]}), which are refused because they can run code when loaded",
                code="HUB-018",
                where=str(reference),
                hint="Look for a revision with safetensors (often @refs/pr/N), or a conversion from a source that you trust.",
            )
        hint = "Check the name, and that it is a model and not a dataset."
        raise UsageError("the repository has no weights (*.safetensors)", code="HUB-019", where=str(reference), hint=hint)

    def push(self, folder: Path, reference: Reference, *, message: str, private: bool = True) -> str:
        """Upload a checkpoint folder as one commit, creating the repository if needed, and return the commit's URL.

        Raises:
            UsageError: no token, or the token has no write access.
            SwiftError: the network failed.
        """
        from huggingface_hub import HfApi

        api = HfApi()
        network.refuse_offline(f"'{reference}'")
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
            local_files_only=network.offline(),
            tqdm_class=_bar(reference.name, progress or (lambda *_: None)),
        )
    return Path(folder)


def _bar(name: str, progress: Progress) -> type[Any]:
    """Return a tqdm class that draws nothing and reports bytes to `progress`; huggingface_hub opens several bars at once."""
    from tqdm.std import tqdm

    maximum = 0

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs | {"file": io.StringIO()})

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
    except errors.LocalEntryNotFoundError as error:
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
