"""Checkpoints on disk: tensors and plain containers, written whole, and read only if every bit is right."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch

from deepfake_lab.data.files import whole
from deepfake_lab.types import LabError

_OTHER: Final = "It may be damaged: use the file of another run."
_FOLDER: Final = 0x10  # a bit of a member's attributes; torch makes tensors of such from memory that holds anything


def write_checkpoint(content: Mapping[str, Any], path: Path) -> None:
    """Writes a checkpoint, whole or not at all.

    Raises:
        LabError: the disk is full or does not let itself be written.
    """
    with whole(path) as partial, partial.open("wb") as file:  # torch's own writer holds a failed file, and its space
        torch.save(dict(content), file)


def read_checkpoint(path: str | Path, advice: str = _OTHER) -> dict[str, Any]:
    """Reads a checkpoint's content without unpickling anything but tensors and plain containers.

    Args:
        path: of the file.
        advice: for people: what to do if it is damaged.

    Raises:
        LabError: the file is missing or damaged (every byte is checked), or holds something else.
    """
    if not Path(path).is_file():
        raise LabError(f"{path}: no such checkpoint. Runs leave theirs in runs/*/detector.ckpt.")
    try:
        _check_archive(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise LabError(
            f"{path}: holds more than tensors and plain containers, so it may run code. Do not use it."
        ) from error
    except Exception as error:  # damage shows as errors of many families
        reason = str(error).partition("\n")[0]
        raise LabError(f"{path}: not a readable checkpoint ({reason}). {advice}") from error
    if not isinstance(content, dict):
        raise LabError(f"{path}: holds a {type(content).__name__}, not a checkpoint. Name a file written by a run.")
    return content


def _check_archive(path: str | Path) -> None:
    """Checks what `torch.load` does not look at.

    Raises:
        zipfile.BadZipFile: the archive is damaged, or not one that torch writes.
    """
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.compress_type != zipfile.ZIP_STORED:  # a few kB may hold any number
                raise zipfile.BadZipFile("it is compressed, as torch.save never does")
            if member.external_attr & _FOLDER:
                raise zipfile.BadZipFile(f"{member.filename} is marked as a folder")
        if (damaged := archive.testzip()) is not None:
            raise zipfile.BadZipFile(f"wrong checksum of {damaged}")
