"""Streams over WebSockets: bytes in, a message for each decision out, and one at the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any, BinaryIO, Final, cast

import numpy as np
from starlette.websockets import WebSocket, WebSocketDisconnect

from deepfake_lab.audio import AudioError
from deepfake_lab.serving.decoding import RawFormat, Recording, TooLongError
from deepfake_lab.serving.limits import Limits, Refused
from deepfake_lab.serving.pipe import Pipe
from deepfake_lab.serving.streaming import Decision, StreamingDetector

LEAST_RATE, MOST_RATE = 8_000, 192_000
"""Rates of PCM that are taken, in Hz."""
END: Final = "end"
"""What a client says when it has said all."""
_BEGINNINGS = (b"OggS", b"\x1a\x45\xdf\xa3")  # of Ogg, of WebM
_CODES = {"end": 1000, "idle": 1001, "too_long": 1000, "stopping": 1012}


def raw_format(query: Mapping[str, str]) -> RawFormat | None:
    """What a stream will be, by the parameters of its address; None for a container with Opus in it.

    Raises:
        Refused: they make no sense.
    """
    form, rate = query.get("format", "pcm"), query.get("rate")
    if form == "opus" and rate is None:
        return None
    if form != "pcm":
        why = "format: give pcm or opus." if form != "opus" else "rate: leave it out, since Opus knows its own."
        raise Refused(422, "bad_parameter", why)
    if rate is None or not (rate.isascii() and rate.isdigit() and LEAST_RATE <= int(rate[:9]) <= MOST_RATE):
        raise Refused(422, "bad_parameter", f"rate: give the rate of the samples in Hz, {LEAST_RATE} to {MOST_RATE}.")
    return RawFormat(int(rate))


class Listening:
    """Threads that decode and judge streams, one each.

    Args:
        limits: how many, how long, how quiet.
        stopping: is set when the service stops.
        decided: is told the state after each decision.
    """

    def __init__(self, limits: Limits, stopping: asyncio.Event, decided: Callable[[str], None]) -> None:
        self._limits = limits
        self._stopping = stopping
        self._decided = decided
        self._threads = ThreadPoolExecutor(max(limits.streams, 1), "stream")

    def close(self) -> None:
        """Ends the threads; there are no more streams by then."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def hear(self, websocket: WebSocket, streaming: StreamingDetector, raw: RawFormat | None) -> dict[str, Any]:
        """Hears a stream, which has been accepted, to its end.

        Returns:
            The final message, which has been sent.

        Raises:
            WebSocketDisconnect: the client went away, or does not take what it is told.
            AudioError: what it sent is no audio.
            Refused: it sent a message that means nothing.
        """
        stream = _Stream(websocket, streaming, raw, self._limits, self._decided)
        hearing = asyncio.get_running_loop().run_in_executor(self._threads, stream.hear)
        try:
            ended = await stream.receive(hearing, self._stopping)
            stream.pipe.end()
            ended = await hearing or ended
        finally:
            stream.pipe.break_off()
            await asyncio.wait({hearing})
            hearing.exception()  # has been raised above, or follows from what has
        said = final(streaming, ended)
        await websocket.send_json(said)
        await websocket.close(_CODES[ended], ended)
        return said


class _Stream:
    """A stream: what comes from the client goes into `pipe`, which a thread listens to."""

    def __init__(
        self,
        websocket: WebSocket,
        streaming: StreamingDetector,
        raw: RawFormat | None,
        limits: Limits,
        decided: Callable[[str], None],
    ) -> None:
        self.pipe = Pipe()
        self._websocket = websocket
        self._streaming = streaming
        self._raw = raw
        self._limits = limits
        self._decided = decided
        self._loop = asyncio.get_running_loop()
        self._begun = time.monotonic()
        self._head = b""

    async def receive(self, hearing: asyncio.Future[str], stopping: asyncio.Event) -> str:
        """Passes on what comes until there is no more; says why that is."""
        stopped = asyncio.ensure_future(stopping.wait())
        coming: asyncio.Future[Any] = asyncio.ensure_future(self._websocket.receive())
        try:
            while True:
                left = self._limits.stream_s - (time.monotonic() - self._begun)
                patience = max(min(self._limits.idle_s, left), 0)
                await asyncio.wait({coming, hearing, stopped}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                if hearing.done() or stopped.done():
                    return "stopping" if stopped.done() else "end"
                if not coming.done() and self.pipe.full and left > 0:
                    continue  # it is not the client that says nothing
                if not coming.done():
                    return "idle" if left > self._limits.idle_s else "too_long"
                if self._take(coming.result()):
                    return "end"
                coming = asyncio.ensure_future(self._next())
        finally:
            stopped.cancel()
            coming.cancel()

    async def _next(self) -> Mapping[str, Any]:
        """The next message, once there is room for it: a client that sends faster than it is judged has to wait."""
        await self.pipe.room()
        return await self._websocket.receive()

    def _take(self, message: Mapping[str, Any]) -> bool:
        """Takes a message; whether it is the last."""
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        data, text = message.get("bytes"), message.get("text")
        if data is None:
            if text != END:
                raise Refused(422, "bad_message", f"Send audio as binary messages, then the text {END!r}.")
            return True
        if self._raw is None and len(self._head) < len(_BEGINNINGS[0]):
            self._head += data[: len(_BEGINNINGS[0]) - len(self._head)]
            if not any(begin.startswith(self._head) for begin in _BEGINNINGS):
                raise AudioError(
                    "The stream is neither Ogg nor WebM. Send what a recorder of Opus gives, from its first byte."
                )
        self.pipe.put(data)
        return False

    def hear(self) -> str:
        """Decodes and judges what comes, in a thread; says why it ended, if that was not for want of more."""
        if not self.pipe.begun():
            return ""
        ended, source = "", cast(BinaryIO, self.pipe)
        try:
            for wave in Recording(source, "The stream", self._limits.stream_s, self._raw).waves():
                self._tell(self._streaming(wave))
        except TooLongError:
            ended = "too_long"
        self._tell(self._streaming.finish())
        return ended

    def _tell(self, decisions: Sequence[Decision]) -> None:
        for decision in decisions:
            message = {"type": "decision"} | asdict(decision)
            sent = asyncio.run_coroutine_threadsafe(self._websocket.send_json(message), self._loop)
            try:
                sent.result(self._limits.idle_s)
            except TimeoutError:  # it does not listen: its messages are not to pile up
                sent.cancel()
                raise WebSocketDisconnect(1006) from None
            self._decided(decision.state)


def final(streaming: StreamingDetector, ended: str) -> dict[str, Any]:
    """What is said of a stream at its end: as of a recording, where anything was heard."""
    judge, quality = streaming.judge, streaming.quality
    score = float(np.mean(streaming.scores)) if streaming.scores else None
    p_fake = None if score is None else judge.p_fake(score)
    reason = "nothing was heard" if p_fake is None else judge.doubt(quality)
    return {
        "type": "final",
        "ended": ended,
        "state": streaming.state,
        "score": score,
        "p_fake": p_fake,
        "verdict": "undecided" if p_fake is None or reason else judge.verdict(p_fake),
        "reason": reason,
        "duration_s": round(quality.duration_s, 3),
        "windows": len(streaming.scores),
        "quality": None if score is None else asdict(quality),
    }
