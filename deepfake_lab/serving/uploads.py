"""Uploads, read into memory and nowhere else: one file of a multipart form, as it comes, within limits."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from deepfake_lab.serving.limits import Limits, Places, Refused

_FIELD = b"file"
_MOST_NAME = 200
_FORM = 1 << 16  # bytes of a form beside its file
_MB = 1_000_000


class Upload(NamedTuple):
    """A file that somebody sent.

    Attributes:
        name: what it is called there, for people; it names nothing here.
        content: its bytes.
    """

    name: str
    content: bytes


@asynccontextmanager
async def received(request: Request, limits: Limits, memory: Places) -> AsyncIterator[Upload]:
    """The file of a form; its bytes count as held in memory for the length of a `with` block.

    Raises:
        Refused: the form is none, holds no file or several, is too large, comes too slowly, or there is no memory.
        ClientDisconnect: the client has gone.
    """
    form = _Form(request, limits, memory)
    try:
        try:
            async with asyncio.timeout(limits.upload_s):
                async for chunk in request.stream():
                    form.write(chunk)
        except TimeoutError:
            raise Refused(408, "too_slow", f"The upload took longer than {limits.upload_s:g} s.") from None
        yield form.finish()
    finally:
        form.forget()


class _Form:
    """A multipart form that is being read."""

    def __init__(self, request: Request, limits: Limits, memory: Places) -> None:
        self._most = int(limits.upload_mb * _MB)
        self._memory = memory
        self._content = bytearray()
        self._held = 0  # bytes that count
        self._headers: dict[bytes, bytes] = {}
        self._header: tuple[bytearray, bytearray] = (bytearray(), bytearray())
        self._seen = 0
        self._name: bytes | None = None
        self._here = False  # whether the part at hand is the file
        self._ended = False
        kind, options = parse_options_header(request.headers.get("content-type"))
        if kind != b"multipart/form-data":
            raise Refused(415, "not_a_form", "Send multipart/form-data with the recording in its field 'file'.")
        if not options.get(b"boundary"):
            raise Refused(400, "malformed", "The form's Content-Type names no boundary.")
        length = request.headers.get("content-length", "")
        if length.isdecimal() and (len(length) > 18 or int(length) > self._most + _FORM):
            raise self._too_large()
        try:
            self._parser = MultipartParser(
                options[b"boundary"],
                {
                    "on_part_begin": self._on_part,
                    "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                    "on_header_end": self._on_header,
                    "on_headers_finished": self._on_headers,
                    "on_part_data": self._on_data,
                    "on_end": self._on_end,
                },
            )
        except FormParserError as error:
            raise Refused(400, "malformed", f"The form cannot be read: {error}.") from error

    def write(self, chunk: bytes) -> None:
        """Takes the next bytes of the body."""
        self._seen += len(chunk)
        if self._seen > self._most + _FORM:
            raise self._too_large()
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise Refused(400, "malformed", f"The form cannot be read: {error}.") from error

    def finish(self) -> Upload:
        """The file."""
        if not self._ended:
            raise Refused(400, "malformed", "The form is cut short: its last boundary is missing.")
        if self._name is None:
            raise Refused(400, "no_file", "The form has no field 'file' with a file in it.")
        content, self._content = bytes(self._content), bytearray()
        return Upload(shown(self._name), content)

    def forget(self) -> None:
        """Gives the memory back."""
        self._memory.give(self._held)
        self._held = 0

    def _too_large(self) -> Refused:
        return Refused(
            413, "too_large", f"An upload has at most {self._most / _MB:g} MB. Send a part of the recording."
        )

    def _on_part(self) -> None:
        self._headers = {}

    def _on_header(self) -> None:
        self._headers[bytes(self._header[0]).lower()] = bytes(self._header[1])
        self._header = (bytearray(), bytearray())

    def _on_headers(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._here = options.get(b"name") == _FIELD and b"filename" in options
        if not self._here:
            return
        if self._name is not None:
            raise Refused(400, "several_files", "The form has several files. Send one at a time.")
        self._name = options[b"filename"]

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if not self._here:
            return
        if len(self._content) + end - start > self._most:
            raise self._too_large()
        self._memory.take(end - start)
        self._held += end - start
        self._content += data[start:end]

    def _on_end(self) -> None:
        self._ended = True


def shown(name: bytes) -> str:
    """A file's name as it is told to people: its last part, without control characters, at most 200 characters."""
    last = re.split(r"[/\\]", name.decode("utf-8", errors="replace"))[-1]
    return "".join(char for char in last if char.isprintable())[:_MOST_NAME] or "recording"
