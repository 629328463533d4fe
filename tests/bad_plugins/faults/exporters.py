"""Exporters: one that writes the time of day into its file, one that loads another model than it wrote."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from swift_core.contract import UsageError


class Dated:
    def __init__(self, options=None):
        pass

    def export(self, checkpoint, out):
        if not checkpoint.is_dir():
            raise UsageError("not a folder", where=str(checkpoint), hint="Check the path.")
        out.mkdir()
        (out / "model.dated").write_text(str(time.time_ns()))
        return out / "model.dated"


class Half(Dated):
    """It has one half of `LoadableExporter`."""

    def load(self, exported):
        raise NotImplementedError


class Forgetful:
    """What it loads has never learned anything: all tokens are as likely."""

    max_kl = 1e-4

    def __init__(self, options: None = None) -> None:
        pass

    def export(self, checkpoint: Path, out: Path) -> Path:
        """Copy the checkpoint."""
        shutil.copytree(checkpoint, out)
        return out

    def load(self, exported: Path) -> Forgetful:
        """Read the tokenizer alone."""
        from transformers import AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(exported)
        self.vocabulary = len(self.tokenizer)
        return self

    def encode(self, text: str) -> list[int]:
        """As the checkpoint does."""
        return self.tokenizer(text, add_special_tokens=False).input_ids

    def logits(self, ids: list[int]) -> bytes:
        """Zeros."""
        return bytes(4 * len(ids) * self.vocabulary)
