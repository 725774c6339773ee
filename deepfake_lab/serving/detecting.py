"""Recordings that somebody has sent: judged in threads, within a deadline, for as long as somebody waits."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple

from starlette.requests import Request

from deepfake_lab.audio import AudioError
from deepfake_lab.serving.decoding import Recording, TooLongError
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


class GoneError(Exception):
    """Nobody waits for the answer any more."""


class Detecting:
    """Threads that decode and judge uploads.

    Args:
        limits: how many, how long, how many more may wait.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._threads = ThreadPoolExecutor(limits.workers, "judge")
        self._places = Places(limits.workers + limits.queue, "Too many recordings wait to be judged. Try again later.")
        self._closed = threading.Event()

    @property
    def waiting(self) -> float:
        """Recordings that are being judged or wait for it."""
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

    async def judge(self, request: Request, upload: Upload, judge: Judge) -> Given:
        """Judges an upload.

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
            job = self._threads.submit(self._work, upload, judge, check)
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
            why = f"The recording was not judged within {self._limits.deadline_s:g} s. Send a part of it, or try later."
            raise Refused(504, "deadline", why)
        except TooLongError as error:
            raise Refused(413, "too_long", str(error)) from error
        except AudioError as error:
            raise Refused(422, "no_audio", str(error)) from error
        finally:
            given_up.set()
            gone.cancel()
            answer.cancel()

    def _work(self, upload: Upload, judge: Judge, check: Callable[[], None]) -> Given:
        check()
        recording = Recording(upload.content, upload.name, self._limits.recording_s, check=check)
        judgement = judge(recording, lambda heard_s: check())
        said = record(prediction(upload.name, judgement), judgement)
        return Given(judgement, json.dumps(said, allow_nan=False).encode())


def _on_loop(places: Places) -> Callable[[Future[Given]], None]:
    """Gives a place back in the thread that counts them."""
    loop = asyncio.get_running_loop()

    def give(_job: Future[Given]) -> None:
        with suppress(RuntimeError):  # the loop has ended, and nobody counts
            loop.call_soon_threadsafe(places.give)

    return give


async def _gone(request: Request) -> None:
    """Ends when the client goes away; its upload has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
