"""What a service allows: who may ask, how often, how much at once."""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from deepfake_lab.types import LabError

_MOST_CLIENTS = 10_000
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass
class Limits:
    """What a service allows. All times are in s.

    Attributes:
        upload_mb: largest upload, in MB.
        memory_mb: all uploads together that are held at once, in MB.
        recording_s: longest recording.
        explained_s: how much of a recording is explained at once.
        upload_s: longest time that an upload may take.
        deadline_s: longest time from then to the answer.
        workers: recordings that are decoded and judged at once.
        queue: recordings that may wait for that.
        streams: streams at once.
        stream_s: longest stream, in its own time and ours.
        idle_s: longest time that a stream may say nothing, or not take what it is told.
        connections: connections at once, of either kind.
        headers_s: longest time that a connection may take to say what it wants.
        requests_per_s: requests of one client, on average; 0 sets no limit.
        burst: requests of one client at once, until the average counts.
        grace_s: longest time that a stop waits for what is under way.
    """

    upload_mb: float = 25.0
    memory_mb: float = 500.0
    recording_s: float = 600.0
    explained_s: float = 8.0
    upload_s: float = 60.0
    deadline_s: float = 120.0
    workers: int = 8
    queue: int = 32
    streams: int = 32
    stream_s: float = 3600.0
    idle_s: float = 30.0
    connections: int = 256
    headers_s: float = 10.0
    requests_per_s: float = 10.0
    burst: int = 30
    grace_s: float = 20.0

    def check(self) -> None:
        """Refuses what cannot be meant.

        Raises:
            LabError: a limit is negative, not finite, or 0 where nothing could be done.
        """
        for name, value in asdict(self).items():
            least = (
                0 if name in ("queue", "streams", "requests_per_s", "grace_s") else 1 if type(value) is int else 1e-3
            )
            if not (least <= value < math.inf):
                raise LabError(f"limits.{name}={value}: give {least} or more.")


class Refused(Exception):
    """What is not done, and why: an HTTP status, a word for programs, a sentence for people.

    Args:
        status: HTTP status.
        code: the word.
        message: the sentence.
        retry_after_s: when it may be worth asking again; None does not say.
    """

    def __init__(self, status: int, code: str, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = {} if retry_after_s is None else {"Retry-After": str(max(math.ceil(retry_after_s), 1))}


class Keys:
    """Keys that open a service, known by their SHA-256 digests alone.

    Args:
        path: a file of digests in hexadecimal digits, one a line; empty lines and those that begin with # say nothing.

    Raises:
        LabError: it cannot be read, names no key, or has a line that is no digest.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._text = self._read()
        self._digests = self._parsed(self._text)

    def look(self) -> bool:
        """Reads the file again, and tells whether other keys open the service now. Streams under way stay open.

        Raises:
            LabError: see above; the keys from before go on opening it.
        """
        text = self._read()
        if text == self._text:
            return False
        self._digests = self._parsed(text)
        self._text = text
        return True

    def _read(self) -> str:
        try:
            return Path(self._path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise LabError(f"keys={self._path}: cannot be read ({error}). Name a file of SHA-256 digests.") from error

    def _parsed(self, text: str) -> list[bytes]:
        lines = [line.strip() for line in text.splitlines()]
        digests = {number: line for number, line in enumerate(lines, 1) if line and not line.startswith("#")}
        for number, digest in digests.items():
            if not _DIGEST.fullmatch(digest):
                how = "printf %s KEY | sha256sum"
                raise LabError(f"keys={self._path}: line {number} is no SHA-256 digest of 64 digits. Make one: {how}.")
        if not digests:
            raise LabError(f"keys={self._path}: names no key. Add the SHA-256 digest of one, or leave keys out.")
        return [bytes.fromhex(digest) for digest in digests.values()]

    def owner(self, key: str) -> str | None:
        """Who a key stands for, as a name that does not betray it; None if it opens nothing.

        All digests are compared, each in constant time: how long it takes tells nothing of them.
        """
        digest = hashlib.sha256(key.encode(errors="surrogateescape")).digest()
        found = [hmac.compare_digest(digest, known) for known in self._digests]
        return digest.hex()[:12] if any(found) else None


class Buckets:
    """A bucket of tokens a client: each request takes one, and they come back at a rate.

    Args:
        rate: tokens a second; 0 sets no limit.
        size: tokens of a full bucket.
        now: the time in s.
    """

    def __init__(self, rate: float, size: int, now: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._size = size
        self._now = now
        self._held: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, and when they were counted

    def take(self, client: str) -> float:
        """Takes a token. Returns 0, or the time in s after which there will be one."""
        if not self._rate:
            return 0.0
        now = self._now()
        tokens, then = self._held.pop(client, (float(self._size), now))
        tokens = min(tokens + (now - then) * self._rate, self._size)
        wait = max(1 - tokens, 0.0) / self._rate
        self._held[client] = (tokens if wait else tokens - 1, now)
        if len(self._held) > _MOST_CLIENTS:
            self._held.popitem(last=False)  # who asked longest ago; most probably its bucket is full again
        return wait


class Places:
    """So many at once, and no more.

    Args:
        most: places.
        what: sentence for who finds none.
    """

    def __init__(self, most: float, what: str) -> None:
        self._most = most
        self._what = what
        self.taken = 0.0

    def take(self, number: float = 1) -> None:
        """Takes places, to be given back by `give`.

        Raises:
            Refused: there are not so many.
        """
        if self.taken + number > self._most:
            raise Refused(503, "busy", self._what, retry_after_s=2)
        self.taken += number

    def give(self, number: float = 1) -> None:
        """Gives places back."""
        self.taken -= number

    @contextmanager
    def one(self) -> Iterator[None]:
        """Takes a place for the length of a `with` block."""
        self.take()
        try:
            yield
        finally:
            self.give()
