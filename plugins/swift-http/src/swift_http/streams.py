"""Server-sent events, and closing the active request however its response ends."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from swift_http.active_request import ActiveRequest, ClientDisconnected
from swift_http.errors import from_exception
from swift_http.response_builders import ResponseBuilder


class EventStream(Response):
    """A stream of events and its terminator (`[DONE]`).

    A failure during the stream is sent as an event and the terminator is left out, so that clients can detect a truncated stream.

    Args:
        active: the request, closed when the stream ends.
        builder: format of the response.
        first: the first event; the caller has waited for it, so that an earlier failure still gets an HTTP status.
        rest: the remaining events.
    """

    media_type = "text/event-stream"

    def __init__(
        self, active: ActiveRequest, builder: ResponseBuilder, first: dict[str, Any], rest: AsyncGenerator[dict[str, Any]]
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._active = active
        self._builder = builder
        self._first = first
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all events, then close the request."""
        failure: BaseException | None = None
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await _send(send, self._builder.frame(self._first))
            try:
                async for event in self._rest:
                    await _send(send, self._builder.frame(event))
                await _send(send, self._builder.terminator)
            except ClientDisconnected as gone:
                failure = gone
            except Exception as error:
                failure = refusal = from_exception(error)
                await _send(send, self._builder.frame(self._builder.failed(refusal)))
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except BaseException as error:
            failure = error
            raise
        finally:
            await self._rest.aclose()
            self._active.close(failure)


async def close_when_done(active: ActiveRequest, work: Awaitable[Response]) -> Response:
    """Return the response that `work` makes, and close the request when the response ends.

    Raises:
        ApiError: `work` failed.
    """
    try:
        response = await work
    except ClientDisconnected as gone:
        active.close(gone)
        return Response(status_code=499)  # not sent: the connection is closed
    except Exception as error:
        refusal = from_exception(error)
        active.close(refusal)
        raise refusal from None
    except BaseException as error:  # the server is stopping
        active.close(error)
        raise
    if not isinstance(response, EventStream):
        active.close()
    return response


async def _send(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": True})
