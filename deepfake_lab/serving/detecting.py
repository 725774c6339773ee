"""Recordings that somebody has sent: worked on in threads, within a deadline, for as long as somebody waits."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from starlette.requests import Request

from deepfake_lab.audio import AudioError
from deepfake_lab.serving.decoding import Recording, TooLongError
from deepfake_lab.serving.explain import Explainer, Numbers
from deepfake_lab.serving.judge import Judge, Judgement
from deepfake_lab.serving.limits import Limits, Places, Refused
from deepfake_lab.serving.prediction import prediction, record
from deepfake_lab.serving.uploads import Upload


class Given(NamedTuple):
    """What was said of an upload.

    Attributes:
        judgement: all of it.
        content: the answer, in JSON.
    """

    judgement: Judgement
    content: bytes


Check = Callable[[], None]
"""Raises an error once nobody waits any more."""
T = TypeVar("T")
_BANDS, _STEP_S = 32, 0.04  # of an explanation: as fine as a picture of it shows


class GoneError(Exception):
    """Nobody waits for the answer any more."""


class Working:
    """Threads that decode uploads and do something with them.

    Args:
        limits: how long a recording and the work on it may be.
        threads: recordings that are worked on at once.
        queue: recordings that may wait for that.
    """

    def __init__(self, limits: Limits, threads: int, queue: int) -> None:
        self._limits = limits
        self._threads = ThreadPoolExecutor(threads, "recording")
        self._places = Places(threads + queue, "Too many recordings wait for the same. Try again later.")
        self._closed = threading.Event()

    @property
    def waiting(self) -> float:
        """Recordings that are being worked on or wait for it."""
        return self._places.taken

    def require_room(self) -> None:
        """Refuses before an upload is read what would be refused after it.

        Raises:
            Refused: too many wait.
        """
        with self._places.one():
            pass

    def close(self) -> None:
        """Gives up what is under way."""
        self._closed.set()
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def do(self, request: Request, upload: Upload, work: Callable[[Recording, Check], T]) -> T:
        """Does something with an upload.

        Raises:
            Refused: it cannot be decoded, is too long, takes too long, or too many wait already.
            GoneError: the client does not wait for the answer.
        """
        given_up = threading.Event()
        until = time.monotonic() + self._limits.deadline_s

        def check() -> None:
            if given_up.is_set() or self._closed.is_set() or time.monotonic() > until:
                raise GoneError

        self._places.take()
        try:
            job = self._threads.submit(self._work, upload, work, check)
        except RuntimeError:
            self._places.give()
            raise Refused(503, "stopping", "The service is stopping.", retry_after_s=5) from None
        job.add_done_callback(_on_loop(self._places))  # a thread that was given up keeps its place until it ends
        gone = asyncio.create_task(_gone(request))
        answer = asyncio.wrap_future(job)
        try:
            both: set[asyncio.Future[Any]] = {answer, gone}
            await asyncio.wait(both, timeout=self._limits.deadline_s, return_when=asyncio.FIRST_COMPLETED)
            if answer.done() and not isinstance(answer.exception(), GoneError):
                return answer.result()
            if gone.done():
                raise GoneError
            if self._closed.is_set():
                raise Refused(503, "stopping", "The service is stopping.", retry_after_s=5)
            why = f"The recording took more than {self._limits.deadline_s:g} s. Send a part of it, or try later."
            raise Refused(504, "deadline", why)
        except TooLongError as error:
            raise Refused(413, "too_long", str(error)) from error
        except AudioError as error:
            raise Refused(422, "no_audio", str(error)) from error
        finally:
            given_up.set()
            gone.cancel()
            answer.cancel()

    def _work(self, upload: Upload, work: Callable[[Recording, Check], T], check: Check) -> T:
        check()
        return work(Recording(upload.content, upload.name, self._limits.recording_s, check=check), check)


def judged(judge: Judge, recording: Recording, check: Check) -> Given:
    """What a judge says of a recording."""
    judgement = judge(recording, lambda heard_s: check())
    said = record(prediction(recording.name, judgement), judgement)
    return Given(judgement, json.dumps(said, allow_nan=False).encode())


def explained(explain: Explainer, start_s: float, recording: Recording, check: Check) -> bytes:
    """What moved the score of a recording from some time on, in JSON."""
    found = explain(recording, start_s)
    check()
    cells = found.coarse(_BANDS, _STEP_S)
    said = {
        "times_s": [round(float(edge), 4) for edge in cells.times],
        "bands_hz": cells.bands.tolist(),
        "parts": [_short(row) for row in cells.parts],
        "attention": None if cells.attention is None else _short(cells.attention),
        "score": found.score,
        "baseline": found.baseline,
        "windows": found.windows,
        "method": found.method,
    }
    return json.dumps(said, allow_nan=False).encode()


def _short(row: Numbers) -> list[float]:
    return [float(f"{value:.4g}") for value in row]


def _on_loop(places: Places) -> Callable[[Future[Any]], None]:
    """Gives a place back in the thread that counts them."""
    loop = asyncio.get_running_loop()

    def give(_job: Future[Any]) -> None:
        with suppress(RuntimeError):  # the loop has ended, and nobody counts
            loop.call_soon_threadsafe(places.give)

    return give


async def _gone(request: Request) -> None:
    """Ends when the client goes away; its upload has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
