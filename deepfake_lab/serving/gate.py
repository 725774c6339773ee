"""What every request goes through: who it is from, how many there are, what is told of it."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deepfake_lab.serving.limits import Buckets, Keys, Limits, Refused
from deepfake_lab.serving.telemetry import Metrics, log
from deepfake_lab.types import LabError

SUBPROTOCOL: Final = "deepfake-lab"
"""What a browser names beside ``key.KEY``, since it can set no header of a WebSocket."""
_KEY_PREFIX = "key."
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_OTHER = "(other)"
_METHODS = ("GET", "HEAD", "POST", "WS")
_MOST_WORD = 200  # characters of a log
MOST_HEADERS: Final = 16_384
"""Bytes of an address and all headers."""


class Gate:
    """Lets requests in.

    Args:
        limits: how many of one client.
        keys: what opens the service; None leaves it open.
        origins: pages of other addresses that may use it, such as ``https://lab.example``.
    """

    def __init__(self, limits: Limits, keys: Keys | None, origins: Sequence[str]) -> None:
        self._keys = keys
        self._origins = set(origins)
        self._buckets = Buckets(limits.requests_per_s, limits.burst)
        self._trouble = ""
        self.stopping = asyncio.Event()
        """Set when the service stops: nobody is let in any more."""
        self.inside = 0
        """Requests and streams under way."""

    @property
    def needs_keys(self) -> bool:
        """Whether only those with a key are let in."""
        return self._keys is not None

    def look(self) -> None:
        """Takes new keys, if there are any; those that cannot be read are told of once, and change nothing."""
        if self._keys is None:
            return
        try:
            if self._keys.look():
                log("keys read anew")
            self._trouble = ""
        except LabError as error:
            if str(error) != self._trouble:
                log("keys refused", level=logging.ERROR, why=str(error))
            self._trouble = str(error)

    def admit(self, connection: HTTPConnection) -> None:
        """Lets somebody in.

        Raises:
            Refused: the service stops, or they have no key, come from another's page, or come too often.
        """
        if self.stopping.is_set():
            raise Refused(503, "stopping", "The service is stopping.", retry_after_s=5)
        client = self._client(connection)
        self._check_origin(connection)
        if wait := self._buckets.take(client):
            raise Refused(429, "too_many_requests", f"Too many requests: wait {wait:.1f} s.", retry_after_s=wait)

    def _client(self, connection: HTTPConnection) -> str:
        address = connection.client.host if connection.client else ""
        if self._keys is None:
            return address
        if (owner := self._keys.owner(_key(connection))) is None:
            if wait := self._buckets.take(address):  # guessing is asking, too
                raise Refused(429, "too_many_requests", f"Too many requests: wait {wait:.1f} s.", retry_after_s=wait)
            raise Refused(401, "no_key", "A key is needed: Authorization: Bearer KEY.")
        return owner

    def _check_origin(self, connection: HTTPConnection) -> None:
        """A browser lets any page send to any service, a WebSocket of this machine included."""
        origin = connection.headers.get("origin")
        if origin is None or origin in self._origins:
            return
        try:
            own = urlsplit(origin).netloc == connection.headers.get("host", "")
        except ValueError:
            own = False
        if not own:
            raise Refused(
                403, "foreign_page", "A page of another address may not ask. Name it in origins to let it in."
            )


def _key(connection: HTTPConnection) -> str:
    kind, _, value = connection.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if "x-api-key" in connection.headers:
        return connection.headers["x-api-key"]
    named = connection.scope.get("subprotocols", ())
    return next((name.removeprefix(_KEY_PREFIX) for name in named if name.startswith(_KEY_PREFIX)), "")


def answer(refused: Refused) -> Response:
    """The answer to what is refused."""
    headers = refused.headers | ({"WWW-Authenticate": "Bearer"} if refused.status == 401 else {})
    return JSONResponse({"code": refused.code, "message": refused.message}, refused.status, headers)


_TOO_LONG = answer(Refused(431, "headers_too_large", f"Address and headers have at most {MOST_HEADERS} bytes."))


class Observed:
    """Counts requests, gives each an id, adds headers, writes a line of each when it is over.

    A handler may put what is worth telling into ``scope["state"]["told"]``.

    Args:
        app: what answers.
        gate: that counts who is inside.
        metrics: that count all.
        paths: that there are; others are counted together.
    """

    def __init__(self, app: ASGIApp, gate: Gate, metrics: Metrics, paths: Sequence[str]) -> None:
        self._app = app
        self._gate = gate
        self._metrics = metrics
        self._paths = frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        request_id, begun = uuid.uuid4().hex, time.monotonic()
        told: dict[str, Any] = {}
        scope.setdefault("state", {})["told"] = told
        status = 0

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start", "websocket.accept"):
                status = message.get("status", 101)
                headers = MutableHeaders(scope=message)
                for name, value in ({"X-Request-ID": request_id} | _HEADERS).items():
                    headers.setdefault(name, value)
            await send(message)

        self._gate.inside += 1
        try:
            app = self._app if _size(scope) <= MOST_HEADERS else _TOO_LONG
            await app(scope, receive, observed)
        except asyncio.CancelledError:
            if not self._gate.stopping.is_set():
                raise
            if not status:  # a stop waits only so long
                await answer(Refused(503, "stopping", "The service is stopping.", 5))(scope, receive, observed)
        except Exception:  # nobody above knows more of it
            log("failed", level=logging.ERROR, id=request_id, exc_info=True)
            if not status:
                await answer(Refused(500, "failed", f"Something went wrong here: request {request_id}."))(
                    scope, receive, observed
                )
        finally:
            self._gate.inside -= 1
            self._tell(scope, request_id, status, time.monotonic() - begun, told)

    def _tell(self, scope: Scope, request_id: str, status: int, seconds: float, told: Mapping[str, Any]) -> None:
        method, path = scope.get("method", "WS"), scope["path"]
        # whatever anybody makes up must not become a number of its own
        known = (method if method in _METHODS else _OTHER, path if path in self._paths else _OTHER)
        self._metrics.request(*known, status, seconds)
        facts = {"id": request_id, "method": method[:_MOST_WORD], "path": path[:_MOST_WORD], "status": status}
        log("request", **facts, duration_s=round(seconds, 4), **told)


def _size(scope: Scope) -> int:
    headers = sum(len(name) + len(value) for name, value in scope["headers"])
    return headers + len(scope.get("raw_path") or b"") + len(scope["query_string"])
