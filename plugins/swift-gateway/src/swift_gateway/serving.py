"""Run a gateway until it is stopped."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import uvicorn
from swift_http.server import IdleTimeoutProtocol, bind, url_of

from swift_core.contract import UsageError
from swift_gateway.app import create_app
from swift_gateway.config import GatewayConfig, Source

GRACE = 30  # seconds that requests have to finish when the gateway is stopped
_LOCAL = ("127.0.0.1", "::1", "localhost")


def serve(
    source: Source,
    *,
    host: str,
    port: int,
    api_key_env: str = "",
    origins: Sequence[str] = (),
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Serve until SIGTERM or Ctrl-C; then finish the requests that run.

    Args:
        source: the configuration.
        host, port: where to listen.
        api_key_env: environment variable with the gateway's own key.
        origins: origins of web pages that may read answers (CORS).
        say: is told the address once the gateway listens.

    Raises:
        UsageError: the configuration is wrong, the port is not free, or there is no key although others can reach the address.
    """
    config, api_key = source.read(), os.environ.get(api_key_env, "") if api_key_env else ""
    if host not in _LOCAL and not (api_key or config.keys):
        hint = f"export {api_key_env or 'SWIFT_API_KEY'}=…, or give keys in --config."
        raise UsageError(f"other machines can reach {host}, but no API key is set", code="GATEWAY-012", where="host", hint=hint)
    app = create_app(config, api_key=api_key, origins=origins, read=Changes(source).read)
    bound = bind(host, port)
    server = _Server(
        uvicorn.Config(
            app, http=IdleTimeoutProtocol, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=GRACE
        ),
        lambda: say(f"gateway: {url_of(bound)} ({len(config.servers)} servers)"),
    )
    try:
        server.run(sockets=[bound])
    finally:
        bound.close()


class Changes:
    """The configuration file, when it changes; one with an error is reported and not taken."""

    def __init__(self, source: Source) -> None:
        self._source, self._seen = source, self._stamp(source)

    def read(self) -> GatewayConfig | None:
        """Return the configuration if the file has changed since the last call and is right."""
        stamp = self._stamp(self._source)
        if stamp == self._seen:
            return None
        self._seen = stamp
        try:
            return self._source.read()
        except UsageError as error:
            import logging

            logging.getLogger("swift_gateway").error("the configuration was not taken: %s", error)
            return None

    @staticmethod
    def _stamp(source: Source) -> tuple[int, int] | None:
        try:
            stat = os.stat(source.file) if source.file else None
        except OSError:
            return None
        return (stat.st_mtime_ns, stat.st_size) if stat else None


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        if self.started:
            self._ready()
