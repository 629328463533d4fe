"""Server-sent events: a response that closes its request however the stream ends."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from swift_http.answer import Answer, ClientGone
from swift_http.errors import from_exception
from swift_http.responses import Form


class EventStream(Response):
    """Sends the events, and what ends a whole stream (`[DONE]`). After an error on the way, which is an event too, that is left out: a cut
    is always seen.

    Args:
        answer: the request, closed at the end.
        form: the shape of the answer.
        first: the first event, which the caller has waited for so that a failure before it could still have an HTTP status.
        rest: the others.
    """

    media_type = "text/event-stream"

    def __init__(self, answer: Answer, form: Form, first: dict[str, Any], rest: AsyncGenerator[dict[str, Any]]) -> None:
        super().__init__(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._answer = answer
        self._form = form
        self._first = first
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send everything."""
        failure: BaseException | None = None
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await _send(send, self._form.frame(self._first))
            try:
                async for chunk in self._rest:
                    await _send(send, self._form.frame(chunk))
                await _send(send, self._form.done)
            except ClientGone as gone:
                failure = gone
            except Exception as error:
                failure = refusal = from_exception(error)
                await _send(send, self._form.frame(self._form.failed(refusal)))
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except BaseException as error:
            failure = error
            raise
        finally:
            await self._rest.aclose()
            self._answer.close(failure)


async def finished(answer: Answer, work: Awaitable[Response]) -> Response:
    """The response that `work` makes of a request, which is closed at its end.

    Raises:
        ApiError: the work failed.
    """
    try:
        response = await work
    except ClientGone as gone:
        answer.close(gone)
        return Response(status_code=499)  # nobody reads it
    except Exception as error:
        refusal = from_exception(error)
        answer.close(refusal)
        raise refusal from None
    except BaseException as error:  # the server is stopping
        answer.close(error)
        raise
    if not isinstance(response, EventStream):
        answer.close()
    return response


async def _send(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": True})
