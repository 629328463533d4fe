"""Why an installer failed, in its own words, found in what it printed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from swift_core.errors import SwiftError

_FULL = re.compile(r"No space left on device|os error 28|Errno 28")
_QUOTA = re.compile(r"Disk quota exceeded|os error 122|Errno 122")
_NETWORK = re.compile(
    r"NewConnectionError|ConnectTimeoutError|ReadTimeoutError|Max retries exceeded|Connection refused|dns error|error sending request|"
    r"Temporary failure in name resolution|ProxyError|SSLError|CERTIFICATE_VERIFY_FAILED"
)
_CAUSE = re.compile(
    r"(\[Errno -?\d+\] [^')]+|[Cc]onnection refused|certificate verify failed[^')]*|(?:read|connect)?[^':]* timed out|dns error)"
)
_INDEXES = re.compile(r"Looking in indexes: (.+)")
_NO_MATCH = re.compile(r"No matching distribution found for (.+)")
_NOISE = re.compile(r"^(To fix this|\d+\. |ERROR: ResolutionImpossible|\[notice\]|hint: )")


def failure(lines: Sequence[str], log: str) -> SwiftError:
    """The error for an installer that printed `lines` and failed."""
    text = "\n".join(lines)
    if _FULL.search(text):
        return SwiftError("the disk is full", where=log, hint="Free some space and run the command again; nothing half-made was left.")
    if _QUOTA.search(text):
        return SwiftError("your disk quota is used up", where=log, hint="Free some space and run the command again.")
    if _NETWORK.search(text):
        cause = next((match[1] for line in lines if _NETWORK.search(line) and (match := _CAUSE.search(line))), "the log says why")
        names = next((f" ({match[1]})" for line in lines if (match := _INDEXES.match(line))), "")
        return SwiftError(
            f"the package index{names} can't be reached: {cause}",
            where=log,
            hint="It is the one that pip (pip config list) or uv is set to. What was downloaded is cached: run the command again.",
        )
    said = _own_words(lines)
    hint = "The log says more."
    if match := _NO_MATCH.search(text):
        hint = f"The index has no '{match[1].strip()}' for this Python and platform; pip config list shows which index that is."
    elif "conflicting dependencies" in text or "No solution found" in text:
        hint = "These can't be installed together: an engine's requirements, or your own constraints, must change."
    return SwiftError(said, where=log, hint=hint)


def _own_words(lines: Sequence[str]) -> str:
    """pip's ERROR lines with the block that explains a conflict, or uv's last error."""
    starts = [at for at, line in enumerate(lines) if line.lstrip().startswith(("ERROR:", "error:", "×"))]
    if not starts:
        return f"the installer failed: {lines[-1].strip()}" if lines else "the installer failed and said nothing"
    said = []
    for line in lines[starts[0] :]:
        text = line.strip()
        if text.startswith("To fix this"):
            break
        if text and not _NOISE.match(text) and not text.startswith("WARNING:"):
            said.append(text.removeprefix("ERROR: ").removeprefix("error: ").removeprefix("× ").removeprefix("╰─▶ "))
    return "\n  ".join(said[:12])
