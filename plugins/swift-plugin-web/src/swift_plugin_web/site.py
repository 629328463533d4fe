"""Settings that a page was started with: its folders, its address, and the secrets of its session."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from pathlib import Path

WORK = ".swift-web"  # in the first folder: the YAML files and logs of what the page has started
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The settings of a running page.

    Attributes:
        folders: what the page may read and write; the first one is where its own files are.
        runs: parent of the run folders, inside one of them.
        host, port: the address it listens on.
        names: further names, HOST or HOST:PORT, under which requests are answered.
        token: the secret in the printed address.
        password: needed in place of the token; "" on loopback.
        read_only: refuse every change.
        max_upload: bytes of a file.
        secret: signs the cookie and the CSRF token.
    """

    folders: tuple[Path, ...]
    runs: Path
    host: str = "127.0.0.1"
    port: int = 7860
    names: tuple[str, ...] = ()
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    password: str = ""
    read_only: bool = False
    max_upload: int = 50_000_000
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    @property
    def work(self) -> Path:
        """The folder of the page's own files."""
        return self.folders[0] / WORK

    @property
    def hosts(self) -> frozenset[str]:
        """The values of the Host header that are answered."""
        own = LOOPBACK if self.host in LOOPBACK else (self.host,)
        shown = {f"[{name}]" if ":" in name else name for name in own}
        named = {*self.names, *(f"{name}:{self.port}" for name in self.names)}  # a proxy in front may listen on another port
        return frozenset(f"{name}:{self.port}" for name in shown) | named | (shown if self.port in (80, 443) else set())

    @property
    def url(self) -> str:
        """The address without the token."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}/"

    @property
    def session(self) -> str:
        """The value of the cookie of a browser that has given the token or the password."""
        return self._signed("session")

    @property
    def csrf(self) -> str:
        """The token that every form has."""
        return self._signed("csrf")

    def admits(self, given: str) -> bool:
        """Return whether this is the password, or without one the token."""
        return hmac.compare_digest((self.password or self.token).encode(), given.encode())

    def _signed(self, purpose: str) -> str:
        return hmac.new(self.secret, purpose.encode(), hashlib.sha256).hexdigest()
