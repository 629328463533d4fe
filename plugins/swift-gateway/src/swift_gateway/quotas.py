"""Keys of clients and their quotas: token buckets that fill over a minute."""

from __future__ import annotations

import hmac
import math
import time
from collections.abc import Callable, Sequence

from swift_http.errors import ApiError

from swift_gateway.config import ClientKey, secret


class Bucket:
    """A quota of so many units a minute; up to a minute's worth can be used at once. Its last unit lets a request of any size through."""

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._size, self._clock = per_minute / 60, per_minute, clock
        self._left, self._at = per_minute, clock()

    def wait(self) -> float:
        """Return the seconds until a unit is left; 0 if one is."""
        now = self._clock()
        self._left, self._at = min(self._size, self._left + (now - self._at) * self._rate), now
        return 0.0 if self._left >= 1 else (1 - self._left) / self._rate

    def take(self, units: float) -> None:
        """Use units; negative ones are given back."""
        self._left -= units


class Client:
    """A client, known by its key."""

    def __init__(self, key: ClientKey) -> None:
        self.name = key.name
        self.secret = secret(key.key_env, f"keys.{key.name}").encode()
        self._requests = Bucket(key.requests_per_minute) if key.requests_per_minute else None
        self._tokens = Bucket(key.tokens_per_minute) if key.tokens_per_minute else None

    def admit(self, tokens: int) -> None:
        """Charge a request and its estimated tokens.

        Raises:
            ApiError: 429, a quota is used up; `Retry-After` says for how long.
        """
        waits = {"requests": self._requests, "tokens": self._tokens}
        for what, bucket in waits.items():
            if bucket and (seconds := bucket.wait()):
                headers = {"Retry-After": str(math.ceil(seconds))}
                message = f"the quota of {what} a minute is used up; try again in {math.ceil(seconds)} s"
                raise ApiError(429, message, kind="rate_limit_error", code="rate_limit_exceeded", headers=headers)
        if self._requests:
            self._requests.take(1)
        self.correct(0, tokens)

    def correct(self, estimated: int, actual: int) -> None:
        """Charge the tokens that a request used in place of their estimate."""
        if self._tokens:
            self._tokens.take(actual - estimated)


class Clients:
    """The clients of a gateway.

    Args:
        keys: their keys.
        own: the gateway's own key, which has no quota; empty for none.
    """

    def __init__(self, keys: Sequence[ClientKey], own: str = "") -> None:
        self._clients = [Client(key) for key in keys]
        self._own = own.encode()

    @property
    def required(self) -> bool:
        """True if requests need a key."""
        return bool(self._clients or self._own)

    def of(self, authorization: str) -> Client | None:
        """Return the client of an `Authorization` header; None for the gateway's own key, and if no key is required.

        Raises:
            ApiError: 401, the key is missing or unknown.
        """
        if not self.required:
            return None
        scheme, _, given = authorization.partition(" ")
        given_key = given.strip().encode() if scheme.lower() == "bearer" else b""
        found = [client for client in self._clients if hmac.compare_digest(given_key, client.secret)]
        if found:
            return found[0]
        if self._own and hmac.compare_digest(given_key, self._own):
            return None
        raise ApiError(401, "missing or invalid API key", code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})

    def check_own(self, authorization: str) -> None:
        """Check that a request has the gateway's own key, which managing it needs. Raises ApiError: 401 or 403."""
        if self.of(authorization) is not None:
            raise ApiError(403, "this route needs the gateway's own key", code="not_permitted")
