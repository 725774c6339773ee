"""Text-to-speech programs of the machine: text out of a file, speech into a file."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from deepfake_lab.audio import AudioError, Wave, load
from deepfake_lab.types import LabError

TEXT: Final = "text"
SPEECH: Final = "speech.wav"


def lacking(program: str, packages: Sequence[str]) -> str:
    """What to install where a program is not there; empty where it is."""
    return "" if shutil.which(program) else f"no program {program}. Debian: apt-get install {' '.join(packages)}"


def run(command: Sequence[str], text: bytes) -> Wave:
    """Runs a program in an empty folder, which is its home too: nobody's settings change what it says.

    Args:
        command: reads the file `TEXT` and writes the file `SPEECH`.
        text: what to say.

    Returns:
        Speech ``(T,)`` at 16 kHz.

    Raises:
        RuntimeError: it failed or said nothing.
    """
    with TemporaryDirectory() as folder:
        Path(folder, TEXT).write_bytes(text)
        done = subprocess.run(command, cwd=folder, env={**os.environ, "HOME": folder}, capture_output=True, check=False)
        try:
            speech = load(Path(folder, SPEECH))
        except AudioError:
            said = done.stderr.decode(errors="replace").strip() or "no sound"
            raise RuntimeError(f"{command[0]} failed on {text!r}: {said}") from None
        if done.returncode or not speech.any():
            raise RuntimeError(f"{command[0]} failed on {text!r}: exit status {done.returncode}, or no sound")
        return speech


def check_voices(voices: Sequence[str], known: Sequence[str], program: str) -> None:
    """Checks the names of voices.

    Raises:
        LabError: a voice that nobody knows, or none at all.
    """
    unknown = [voice for voice in voices if voice not in known]
    if unknown or not voices:
        what = f"no voice '{unknown[0]}'" if unknown else "no voice at all"
        raise LabError(f"{program}: {what}. Choose voices from {', '.join(known)}.")
