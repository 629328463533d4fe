"""Turn the output of a failed installer (uv or pip) into an error."""

from __future__ import annotations

import re
from collections.abc import Sequence

from swift_core.contract import SwiftError

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
    """Return the error for an installer that printed `lines` and failed; `log` is the path of its log."""
    text = "\n".join(lines)
    if _FULL.search(text):
        return SwiftError(
            "the disk is full", code="ENV-013", where=log, hint="Free some space and run the command again; no partial files were left."
        )
    if _QUOTA.search(text):
        return SwiftError("the disk quota is exceeded", code="ENV-014", where=log, hint="Free some space and run the command again.")
    if _NETWORK.search(text):
        cause = next((match[1] for line in lines if _NETWORK.search(line) and (match := _CAUSE.search(line))), "see the log")
        names = next((f" ({match[1]})" for line in lines if (match := _INDEXES.match(line))), "")
        return SwiftError(
            f"the package index{names} can't be reached: {cause}",
            code="ENV-015",
            where=log,
            hint="The index is set in the configuration of pip (see pip config list) or uv. Run the command again: downloads are cached.",
        )
    message = _reported_error(lines)
    hint = "See the log for details."
    if match := _NO_MATCH.search(text):
        hint = f"The index has no '{match[1].strip()}' for this Python and platform; pip config list shows which index is used."
    elif "conflicting dependencies" in text or "No solution found" in text:
        hint = "These can't be installed together: change the requirements of the engine, or your own constraints."
    return SwiftError(message, code="ENV-016", where=log, hint=hint)


def _reported_error(lines: Sequence[str]) -> str:
    """Return pip's ERROR lines with the block that explains a conflict, or uv's last error."""
    starts = [number for number, line in enumerate(lines) if line.lstrip().startswith(("ERROR:", "error:", "×"))]
    if not starts:
        return f"the installer failed: {lines[-1].strip()}" if lines else "the installer failed without output"
    errors = []
    for line in lines[starts[0] :]:
        text = line.strip()
        if text.startswith("To fix this"):
            break
        if text and not _NOISE.match(text) and not text.startswith("WARNING:"):
            errors.append(text.removeprefix("ERROR: ").removeprefix("error: ").removeprefix("× ").removeprefix("╰─▶ "))
    return "\n  ".join(errors[:12])
