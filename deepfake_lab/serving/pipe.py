"""Bytes from an event loop to a thread that reads them like a file."""

from __future__ import annotations

import asyncio
import io
import threading


class Pipe(io.RawIOBase):
    """A file that is still being written.

    The event loop writes and never waits; it may ask to be told when there is room again. One thread reads, and waits
    for what is not there yet.

    Args:
        most: bytes that wait to be read, after which there is no room for more.
    """

    def __init__(self, most: int = 1 << 18) -> None:
        self._most = most
        self._held = bytearray()
        self._ended = False
        self._broken = False
        self._changed = threading.Condition()
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Event()
        self._room.set()

    def put(self, data: bytes) -> None:
        """Adds bytes."""
        with self._changed:
            self._held += data
            if len(self._held) > self._most:
                self._room.clear()
            self._changed.notify_all()

    @property
    def full(self) -> bool:
        """Whether there is no room for more."""
        return not self._room.is_set()

    async def room(self) -> None:
        """Waits until there is room for more."""
        await self._room.wait()

    def end(self) -> None:
        """There will be no more: who reads finds the end."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def break_off(self) -> None:
        """Nobody wants the rest: who reads gets an error at once."""
        with self._changed:
            self._broken = self._ended = True
            self._changed.notify_all()
        self._room.set()

    def begun(self) -> bool:
        """Waits for the first bytes; whether there are any."""
        with self._changed:
            while not self._held and not self._ended:
                self._changed.wait()
            return bool(self._held)

    def readable(self) -> bool:
        """That it can be read."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """At most so many bytes, as soon as there are any; none at the end.

        Raises:
            BrokenPipeError: `break_off` was called.
        """
        with self._changed:
            while not self._held and not self._ended:
                self._changed.wait()
            if self._broken:
                raise BrokenPipeError
            count = len(self._held) if size < 0 else size
            data = bytes(self._held[:count])
            del self._held[:count]
            if len(self._held) <= self._most and not self._room.is_set():
                self._loop.call_soon_threadsafe(self._room.set)
        return data
