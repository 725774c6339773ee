"""Makes uploads that no detector can judge, each for another reason; the same ones every time."""

import io
import struct
import tarfile
import zipfile
from collections.abc import Iterator

import numpy as np
import soundfile
from signals import muxed

RATE = 16_000
SUBTYPES = {"wav": "PCM_16", "flac": "PCM_16", "aiff": "PCM_16", "au": "PCM_16", "caf": "PCM_16", "w64": "PCM_16"}
CONTAINERS = {"m4a": ("ipod", "aac"), "webm": ("webm", "libopus"), "avi": ("avi", "mp2"), "mpg": ("mpeg", "mp2")}


def whole() -> dict[str, bytes]:
    """A second of noise in many formats, by ending."""
    wave = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    made = {}
    for ending in (*SUBTYPES, "ogg", "mp3"):
        file = io.BytesIO()
        soundfile.write(file, wave, RATE, format=ending.upper(), subtype=SUBTYPES.get(ending))
        made[ending] = file.getvalue()
    return made | {ending: muxed(wave, *formats, 48_000) for ending, formats in CONTAINERS.items()}


def wav(samples=b"", channels=1, rate=RATE, bits=16, tag=1, data_size=None, riff_size=None, block=None) -> bytes:
    """A WAV file that says of itself whatever is asked for."""
    block = channels * bits // 8 if block is None else block
    head = struct.pack("<HHIIHH", tag, channels, rate, (rate * block) & 0xFFFFFFFF, block & 0xFFFF, bits)
    size = len(samples) if data_size is None else data_size
    body = b"WAVEfmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", size) + samples
    return b"RIFF" + struct.pack("<I", len(body) if riff_size is None else riff_size) + body


def flac_that_claims(channels=1, rate=RATE, bits=16, total=0) -> bytes:
    """The head of a FLAC file, and nothing behind it."""
    packed = (rate << 44) | ((channels - 1) << 41) | ((bits - 1) << 36) | total
    info = struct.pack(">HH", 4096, 4096) + bytes(6) + packed.to_bytes(8, "big") + bytes(16)
    return b"fLaC\x80\x00\x00\x22" + info


def bad_uploads() -> Iterator[tuple[str, bytes]]:
    """Names and contents."""
    yield from _cut_short()
    yield from _not_sound()
    yield from _random()
    yield from _absurd()
    yield from _playlists()


def _cut_short() -> Iterator[tuple[str, bytes]]:
    """Files of which not even the beginning of the sound came through."""
    for ending, content in whole().items():
        for size in (1, 2, 3, 4, 7, 8, 11, 12, 16, 18, 20, 24):
            yield f"cut-{size}.{ending}", content[:size]
        yield f"zeros-behind-4.{ending}", content[:4] + bytes(200)
        yield f"text-behind-8.{ending}", content[:8] + b"the quick brown fox " * 20


def _not_sound() -> Iterator[tuple[str, bytes]]:
    """Files of other kinds, under the names of recordings."""
    packed, taped = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", "a" * 100_000)
    with tarfile.open(fileobj=taped, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../../a.wav"), None)
    kinds = {
        "empty": b"",
        "zip": packed.getvalue(),
        "tar": taped.getvalue(),
        "text": b"Dear Sir or Madam, " * 50,
        "html": b"<!doctype html><script>alert(1)</script>" * 20,
        "json": b'{"file": [1, 2, 3]}',
        "xml": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        "png": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "elf": b"\x7fELF" + bytes(100),
        "pdf": b"%PDF-1.7\n" + b"1 0 obj <<>> endobj\n" * 20,
        "script": b"#!/bin/sh\nrm -rf /\n",
        "zeros": bytes(10_000),
        "ones": b"\xff" * 10_000,
        "newlines": b"\r\n" * 1_000,
        "boundary": b"------WebKitFormBoundary--\r\n" * 20,
        "midi": b"MThd\0\0\0\6\0\1\0\1\0\x60MTrk\0\0\0\4\0\xff\x2f\0",
        "pickle": b"\x80\x04\x95\x1a\0\0\0\0\0\0\0\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
        "checkpoint": b"PK\x03\x04" + bytes(60),
    }
    for kind, content in kinds.items():
        for ending in ("wav", "mp3"):
            yield f"{kind}.{ending}", content


def _random() -> Iterator[tuple[str, bytes]]:
    """Bytes that mean nothing, some behind the beginning of a format."""
    draw = np.random.default_rng(1)
    for size in (1, 10, 44, 100, 1_000):
        yield f"random-{size}.bin", draw.bytes(size)
    heads = (
        b"RIFF",
        b"fLaC",
        b"OggS",
        b"ID3\x04",
        b"\x1a\x45\xdf\xa3",
        b"FORM",
        b".snd",
        b"caff",
        b"\0\0\0\x20ftyp",
        b"#!AMR\n",
    )
    for number, head in enumerate(heads):
        yield f"random-behind-{number}.wav", head + draw.bytes(300)


def _absurd() -> Iterator[tuple[str, bytes]]:
    """Sound that cannot be, or is said to be what it is not."""
    quiet = bytes(3_200)
    for name, value in (("nan", np.nan), ("inf", np.inf), ("minus-inf", -np.inf), ("huge", 1e30)):
        for place in (0, 7_999):
            samples = np.zeros(8_000, np.float32)
            samples[place] = value
            yield f"{name}-at-{place}.wav", wav(samples.tobytes(), bits=32, tag=3)
    for rate in (0, 1, 7, 100, 999, 2_000_000, 0x7FFFFFFF, 0xFFFFFFFF):
        yield f"rate-{rate}.wav", wav(quiet, rate=rate)
    for channels in (0, 1_500, 65_535):
        yield f"channels-{channels}.wav", wav(quiet, channels=channels)
    for bits in (0, 48, 512, 65_535):
        yield f"bits-{bits}.wav", wav(quiet, bits=bits)
    for tag in (0, 0x7777, 0xFFFF):
        yield f"tag-{tag}.wav", wav(quiet, tag=tag)
    for size in (0, 0x7FFFFFFF, 0xFFFFFFFF):
        yield f"nothing-of-{size}.wav", wav(b"", data_size=size, riff_size=0xFFFFFFFF)
    for settings in (
        {"rate": 0},
        {"rate": 0xFFFFF, "total": (1 << 36) - 1},
        {"channels": 8, "total": 1 << 35},
        {"bits": 4},
    ):
        yield f"claims-{'-'.join(map(str, settings.values()))}.flac", flac_that_claims(**settings)
    yield "one-channel-less.wav", wav(b"", block=0)
    yield "no-format.wav", b"RIFF\x24\0\0\0WAVEdata\x10\0\0\0" + bytes(16)
    yield "headers-alone.wav", b"RIFF\xff\xff\xff\x7fWAVE" + b"LIST\x04\0\0\0INFO" * 2_000


def _playlists() -> Iterator[tuple[str, bytes]]:
    """Lists of other files and addresses, which nobody may have opened here."""
    for place in ("/etc/passwd", "file:///etc/hostname", "http://127.0.0.1:9/a.wav", "secret.wav"):
        name = "".join(filter(str.isalnum, place))
        yield f"hls-{name}.m3u8", f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{place}\n#EXT-X-ENDLIST\n".encode()
        yield f"concat-{name}.wav", f"ffconcat version 1.0\nfile {place}\n".encode()
        yield (
            f"sdp-{name}.wav",
            f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=a\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\na={place}\n".encode(),
        )
        yield (
            f"dash-{name}.wav",
            f'<?xml version="1.0"?><MPD><Period><BaseURL>{place}</BaseURL></Period></MPD>'.encode(),
        )
