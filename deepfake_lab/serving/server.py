"""The HTTP server: uvicorn, with limits on connections and a stop that loses nothing that is under way."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from deepfake_lab.serving.gate import MOST_HEADERS, Gate
from deepfake_lab.serving.limits import Limits
from deepfake_lab.serving.telemetry import log

_MOST_MESSAGE = 1 << 20  # bytes of a WebSocket's message
_FULL = b'{"code":"busy","message":"Too many connections. Try again later."}'
_FULL_HEAD = (
    "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nConnection: close\r\n"
    f"Content-Type: application/json\r\nContent-Length: {len(_FULL)}\r\n\r\n"
).encode()


class Server(uvicorn.Server):
    """Runs an application until it is told to stop.

    The first SIGTERM or SIGINT lets nobody in any more and waits for what is under way; the second does not wait.

    Args:
        app: what to run.
        gate: of the application.
        limits: what it allows.
        refused: is told of each connection that is turned away.
        proxies: addresses that are believed when they say whom they ask for (``X-Forwarded-For``).
    """

    def __init__(
        self, app: FastAPI, gate: Gate, limits: Limits, refused: Callable[[], None], proxies: Sequence[str] = ()
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=_protocol(limits, refused),
                loop="asyncio",
                ws="websockets-sansio",
                ws_max_size=_MOST_MESSAGE,
                ws_per_message_deflate=False,  # a few bytes could become many
                h11_max_incomplete_event_size=MOST_HEADERS,
                proxy_headers=bool(proxies),  # anybody could claim any address
                forwarded_allow_ips=list(proxies),
                server_header=False,
                access_log=False,
                log_config=None,
                lifespan="on",
                timeout_graceful_shutdown=1,  # after all that is waited for here
            )
        )
        self._gate = gate
        self._grace_s = limits.grace_s
        self._told = False
        self._draining: asyncio.Task[None] | None = None

    def stop(self) -> None:
        """Begins to stop; from any thread."""
        self._told = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Takes a signal."""
        if self._told:
            super().handle_exit(sig, frame)
        self._told = True

    async def on_tick(self, counter: int) -> bool:
        """Looks ten times a second whether to stop."""
        if self._told and self._draining is None:
            self._draining = asyncio.create_task(self._drain())
        return await super().on_tick(counter)

    async def _drain(self) -> None:
        for server in self.servers:
            server.close()
        self._gate.stopping.set()
        log("stopping", under_way=self._gate.inside)
        until = time.monotonic() + self._grace_s
        while self._gate.inside and time.monotonic() < until:
            await asyncio.sleep(0.02)
        if self._gate.inside:
            log("given up", under_way=self._gate.inside)
        self.should_exit = True


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens on an address; port 0 takes any that is free.

    Raises:
        OSError: it cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, backlog=128)
    # which asyncio sets only on sockets that it made: without, every answer waits 40 ms for an acknowledgement
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _protocol(limits: Limits, refused: Callable[[], None]) -> type[H11Protocol]:
    """HTTP, but a connection that says nothing whole for long is closed, and so is one too many."""

    class Connection(H11Protocol):
        _waits_since = 0.0  # for a request; a moment at which it did not wait, if it does not
        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:  # noqa: ANN401  # as its parent has it
            super().connection_made(transport)
            if len(self.connections) > limits.connections:
                refused()
                transport.write(_FULL_HEAD + _FULL)
                transport.close()
                return
            self._waits_since = self.loop.time()
            self._look()

        def connection_lost(self, exc: Exception | None) -> None:
            self._end()
            super().connection_lost(exc)

        def handle_websocket_upgrade(self, event: Any) -> None:  # noqa: ANN401  # as its parent has it
            self._end()
            super().handle_websocket_upgrade(event)

        def _look(self) -> None:
            now = self.loop.time()
            if self.cycle is not None and not self.cycle.response_complete:
                self._waits_since = now
            elif now - self._waits_since > limits.headers_s:
                self.transport.abort()
                return
            self._timer = self.loop.call_later(min(1.0, limits.headers_s / 4), self._look)

        def _end(self) -> None:
            if self._timer is not None:
                self._timer.cancel()

    return Connection
