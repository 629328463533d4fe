"""ms-swift's `--external_plugins FILE.py …`: local plugins of this program, which `swift --plugin FILE.py` loads too.

A file without hooks stays an option of the verb: tasks that sample import its rewards and schedulers (`--modules`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from swift_core.cli import note
from swift_core.plugins import use_local_plugins

_FLAGS = ("external_plugins", "custom_register_path")


def load(words: Sequence[str]) -> list[str]:
    """Load the files with hooks that a command line names by these flags, and return the other words.

    Raises:
        UsageError: a file does not exist, or can't be a module.
    """
    rest: list[str] = []
    files: list[str] = []
    taking = False
    for word in words:
        if word.startswith("--"):
            name, equals, value = word.removeprefix("--").partition("=")
            taking = name.replace("-", "_") in _FLAGS
            files += [value] if taking and equals else []
        elif taking:
            files.append(word)
        if not taking:
            rest.append(word)
    others = [file for file in files if Path(file).is_file() and "hookimpl" not in Path(file).read_text(encoding="utf-8")]
    own = [file for file in files if file not in others]
    if own:
        use_local_plugins(own, where="--external_plugins")
        note(f"--external_plugins is swift --plugin here: {', '.join(own)}")
    return [*rest, "--external_plugins", *others] if others else rest


def rewrite(words: Sequence[str]) -> tuple[str, list[str]]:
    """Return no other verb, and the words without the files (`VerbSpec.rewrite`)."""
    return "", load(words)
