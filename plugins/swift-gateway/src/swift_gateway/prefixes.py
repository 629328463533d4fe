"""Which server has seen the beginning of a prompt, and so has its keys and values in its prefix cache."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from hashlib import blake2b

BLOCK = 512  # characters
CHARACTERS_PER_TOKEN = 4
_MAX_BLOCKS = 64  # of a prompt
_MAX_ENTRIES = 65_536


class PrefixTable:
    """For each prefix of whole blocks, the server that saw it last; the entries used least recently are dropped."""

    def __init__(self, max_entries: int = _MAX_ENTRIES) -> None:
        self._max_entries = max_entries
        self._servers: OrderedDict[bytes, str] = OrderedDict()

    def add(self, model: str, prompt: str, server: str) -> None:
        """Record that a server gets this prompt."""
        for key in _keys(model, prompt):
            self._servers[key] = server
            self._servers.move_to_end(key)
        while len(self._servers) > self._max_entries:
            self._servers.popitem(last=False)

    def tokens_by_server(self, model: str, prompt: str) -> dict[str, int]:
        """Return the estimated tokens of the longest prefix that each server saw last."""
        found: dict[str, int] = {}
        for blocks, key in enumerate(_keys(model, prompt), 1):
            server = self._servers.get(key)
            if server is None:
                break
            found[server] = blocks * BLOCK // CHARACTERS_PER_TOKEN
        return found


def _keys(model: str, prompt: str) -> Iterator[bytes]:
    """Yield a hash of each prefix of whole blocks, the shortest first."""
    running = blake2b(model.encode(), digest_size=16)
    for begin in range(0, min(len(prompt) // BLOCK, _MAX_BLOCKS) * BLOCK, BLOCK):
        running.update(prompt[begin : begin + BLOCK].encode())
        yield running.digest()
