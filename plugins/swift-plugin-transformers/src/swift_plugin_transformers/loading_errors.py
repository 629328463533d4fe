"""Exceptions of transformers while a checkpoint is loaded, as errors that tell what to do."""

from __future__ import annotations

import re
from pathlib import Path

from swift_core.contract import SwiftError, UsageError

_TORCHVISION = (
    "pip install 'swift-train[media]'; beside a CPU build of torch: "
    "pip install torchvision --index-url https://download.pytorch.org/whl/cpu"
)


def loading_error(error: Exception, folder: Path) -> SwiftError:
    """Convert an exception of transformers to a SwiftError, with a hint for known causes."""
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if isinstance(error, TypeError | LookupError | ArithmeticError | AttributeError):  # their messages are unclear without the type
        text = f"{type(error).__name__}: {text}"
    if isinstance(error, ImportError) and (package := _missing_package(str(error))):
        how = _TORCHVISION if package == "torchvision" else f"pip install {package}"
        problem = f"the model's processor needs the package {package}, which is not installed"
        return UsageError(problem, code="MODEL-037", where=str(folder), hint=how)
    if "trust_remote_code" in str(error):
        return UsageError(
            "the tokenizer or processor needs Python code from the checkpoint, which is not trusted",
            code="MODEL-023",
            where=str(folder),
            hint="To trust it: --trust-remote-code org/name@revision.",
        )
    if "backend tokenizer" in str(error):
        hint = "Copy tokenizer.json and tokenizer_config.json, or tokenizer.model, from the model's page into the folder."
        return UsageError("transformers can't read its tokenizer", code="MODEL-024", where=str(folder), hint=hint)
    if "ignore_mismatched_sizes" in str(error):
        hint = "Check that config.json belongs to the checkpoint; the log names the weights."
        return UsageError("the weights' shapes do not match config.json", code="MODEL-025", where=str(folder), hint=hint)
    if "flash_attn" in str(error) or "attention" in text.lower():
        return UsageError(text, code="MODEL-026", where="attention", hint="--attention auto selects an implementation that is available.")
    return SwiftError(
        f"transformers can't load the checkpoint: {text}", code="MODEL-027", where=str(folder), hint="Check that it is complete."
    )


def _missing_package(message: str) -> str:
    """Return the package that an ImportError of transformers names, as in "requires the Torchvision library"; '' if none."""
    found = re.search(r"requires the (\w+) library|[Pp]ackage `?(\w+)`? is required", message)
    return next((name.lower() for name in found.groups() if name), "") if found else ""
