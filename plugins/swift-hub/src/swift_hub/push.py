"""Upload a checkpoint to a hub, with a model card: the files of its format, its manifest and its licence, nothing else of the folder.

A signed checkpoint is uploaded exactly as it is, since its signature is over every file.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from swift_provenance.description import describe
from swift_provenance.model_card import model_card
from swift_provenance.signing import SIGNATURE

from swift_core.checkpoints import MANIFEST, Checkpoint, Fetcher
from swift_core.contract import Reference, UsageError
from swift_core.plugins import matches, registry
from swift_core.system import made_by, network, read_run

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")
_DOCUMENTS = ("LICEN[CS]E*", "NOTICE*")
_CARD = "README.md"


@dataclass(frozen=True, slots=True)
class Upload:
    """The contents of an upload: files by their name in the repository, and the texts that are written for it."""

    reference: Reference  # the repository
    files: dict[str, Path]  # by their name in the repository
    texts: dict[str, str]  # files that are written for it

    @property
    def sizes(self) -> dict[str, int]:
        """Name → size in bytes, sorted by name."""
        found = {name: path.stat().st_size for name, path in self.files.items()}
        found |= {name: len(text.encode()) for name, text in self.texts.items()}
        return dict(sorted(found.items()))


def prepare(folder: Path, target: str) -> Upload:
    """Check a checkpoint and collect what to upload; no network is used.

    Args:
        folder: the checkpoint, or the folder of the run that made it.
        target: the reference of the repository.

    Raises:
        UsageError: not a complete checkpoint, it has pickle files, or the target is no repository of a hub.
    """
    reference = Fetcher(registry()).reference(target, "target")
    if reference.scheme != "file" and "/" not in reference.name:
        hint = f"Write {reference.scheme}:OWNER/{reference.name}."
        raise UsageError(f"'{target}' has no owner", code="HUB-041", where="target", hint=hint)
    run = read_run(folder) if (folder / "run.json").is_file() else None
    made = made_by(folder) if run else None
    if run and made is None:
        raise UsageError("the run wrote no checkpoint", code="HUB-042", where=str(folder), hint="See its log.txt.")
    checkpoint = Checkpoint.at(made or folder)
    checkpoint.check()
    own = {path.relative_to(checkpoint.folder).as_posix(): path for path in checkpoint.files}
    beside = {path.name: path for path in checkpoint.folder.iterdir() if path.is_file() and path.name not in own}
    if pickled := sorted(name for name in beside if matches(name, _PICKLES)):
        raise UsageError(
            f"it contains pickle files, which can run code when they are loaded: {', '.join(pickled[:3])}",
            code="HUB-043",
            where=str(checkpoint.folder),
            hint="Remove them from the folder; a checkpoint in its format does not need them.",
        )
    if SIGNATURE in beside:
        every = sorted(path for path in checkpoint.folder.rglob("*") if path.is_file())
        return Upload(reference, {path.relative_to(checkpoint.folder).as_posix(): path for path in every}, {})
    runs = folder.absolute().parent if run else Path("runs")
    texts = {} if _CARD in beside else {_CARD: model_card(describe(checkpoint.folder, runs), reference.name)}
    if checkpoint.manifest:
        published = {key: value for key, value in checkpoint.manifest.base.items() if key != "path" and not value.startswith("file:")}
        texts[MANIFEST] = json.dumps(asdict(checkpoint.manifest) | {"base": published}, indent=2, ensure_ascii=False)
    documents = {name: path for name, path in beside.items() if matches(name, (*_DOCUMENTS, _CARD))}
    return Upload(reference, own | documents, texts)


def with_owner(target: str) -> str:
    """Return a reference with an owner: that of the token, if it names none and is on Hugging Face.

    Raises:
        UsageError: there is no token, or the hub does not know it.
    """
    scheme, _, name = target.rpartition(":")
    if "/" in name or scheme not in ("", "hf"):
        return target
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    network.refuse_offline(f"'{target}'")
    try:
        owner = HfApi(token=os.environ.get("HF_TOKEN") or False).whoami()["name"]
    except (HfHubHTTPError, ValueError) as error:
        hint = f"Set HF_TOKEN to a token with write access, or write hf:OWNER/{name}."
        raise UsageError("the token's owner is not known to the hub", code="HUB-046", where="HF_TOKEN", hint=hint) from error
    return f"hf:{owner}/{name}"


def push(upload: Upload, *, message: str, private: bool) -> str:
    """Upload it and return its address.

    Raises:
        UsageError: no token or no access, or `private` and the repository exists and is public.
        SwiftError: the network failed.
    """
    network.refuse_offline(f"'{upload.reference}'")
    hub = Fetcher(registry()).hub_of(upload.reference, "target").build()
    with tempfile.TemporaryDirectory() as name:
        staged = Path(name, "upload")
        for file, path in upload.files.items():
            place = staged / file
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path.resolve())
        for file, text in upload.texts.items():
            (staged / file).write_text(text, encoding="utf-8")
        return str(hub.push(staged, upload.reference, message=message, private=private))
