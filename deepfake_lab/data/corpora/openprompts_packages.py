"""How to get the Debian packages that openprompts is made of: find, download, unpack."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO, Final

from deepfake_lab.audio import AUDIO_SUFFIXES
from deepfake_lab.data.corpora.openprompts_voices import Voice
from deepfake_lab.types import LabError

ALTERNATIVES: Final = (
    "Fetch them on a machine that has apt ('apt-get download {packages}') and pass the folder as "
    "data.packages_dir=DIR, or use another corpus: data=folder for recordings of your own, data=ljspeech."
)

MOST_BYTES: Final = 1 << 28
"""Of a package unpacked; such packages have about 16 MB."""


def find_prompts(cache: Path, packages_dir: Path | None, voices: Sequence[Voice]) -> dict[str, Path]:
    """Finds the recordings of some voices, downloading and unpacking the packages where need be.

    Args:
        cache: folder that downloads and unpacked packages go to.
        packages_dir: folder with the .deb files or their unpacked trees; None downloads them with apt.
        voices: whose recordings are wanted.

    Returns:
        Folder with the recordings, by package.

    Raises:
        LabError: a package can neither be found nor fetched.
    """
    cache.mkdir(parents=True, exist_ok=True)
    packages = list(dict.fromkeys(voice.package for voice in voices))
    if packages_dir is not None and not packages_dir.is_dir():
        raise LabError(f"data.packages_dir={packages_dir}: no such folder. {_alternatives(packages)}")
    found = _look(packages_dir or cache, cache, voices)
    missing = [package for package in packages if package not in found]
    if missing and packages_dir is not None:
        lacking = ", ".join(missing)
        raise LabError(f"data.packages_dir={packages_dir}: lacks {lacking}. {_alternatives(missing)}")
    if missing:
        _download(cache, missing)
        found = _look(cache, cache, voices)
    return found


def _look(folder: Path, cache: Path, voices: Iterable[Voice]) -> dict[str, Path]:
    """What `folder` holds as trees or as .deb files, by package; the latter are unpacked into `cache`."""
    found: dict[str, Path] = {}
    for package, inside in {voice.package: voice.folder for voice in voices}.items():
        trees = [*folder.glob(inside), *folder.glob(f"[!.]*/{inside}")]
        debs = sorted(folder.glob(f"{package}_*.deb"))
        if not trees and debs:
            trees = [*_unpacked(debs[-1], cache, inside).glob(inside)]
        if trees:
            found[package] = min(trees)
    return found


def _unpacked(deb: Path, cache: Path, inside: str) -> Path:
    """Unpacks the sounds and licences of a package without installing it, all or nothing, unless that has been done."""
    target, partial = cache / deb.stem, cache / f".{deb.stem}"
    if target.is_dir():
        return target
    if shutil.which("dpkg-deb") is None:
        raise LabError(
            f"{deb}: unpacking needs dpkg-deb. Install dpkg, or pass unpacked trees as data.packages_dir=DIR."
        )
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    command = ["dpkg-deb", "--fsys-tarfile", str(deb)]
    try:
        with (
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as unpacker,
            tarfile.open(fileobj=_Bounded(unpacker.stdout), mode="r|") as tar,
        ):
            _extract_files(tar, partial, inside)
    except (tarfile.TarError, ValueError, OSError) as error:
        raise LabError(f"{deb}: not a readable Debian package ({error}). Download it again.") from error
    return partial.replace(target)


class _Bounded(io.RawIOBase):
    """A stream that is given up where it goes on for too long: a few kB can unpack to any number of bytes."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        assert stream is not None  # a pipe
        self._stream = stream
        self._left = MOST_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        content = self._stream.read(-1 if size is None else size)
        self._left -= len(content)
        if self._left < 0:
            raise ValueError(f"it unpacks to more than {MOST_BYTES:,} bytes")
        return content


def _extract_files(tar: tarfile.TarFile, target: Path, inside: str) -> None:
    """Writes plain files of an archive, none of them outside `target`: no links, no absolute paths, no ".."."""
    for member in tar:
        name = PurePosixPath(member.name)
        if not member.isfile() or member.issparse() or name.is_absolute() or ".." in name.parts:
            continue
        sound = name.suffix in AUDIO_SUFFIXES and fnmatchcase(str(name), f"{inside}/*")
        path = target / name
        if (sound or name.match("usr/share/doc/*/*")) and (content := tar.extractfile(member)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.read())


def _download(cache: Path, packages: Sequence[str]) -> None:
    """Fetches packages with apt, without installing them and without root."""
    if shutil.which("apt-get") is None:
        raise LabError(
            f"openprompts needs apt-get to fetch Debian's voice prompts, and it is not here. {_alternatives(packages)}"
        )
    arriving = cache / ".arriving"  # only whole packages leave it
    shutil.rmtree(arriving, ignore_errors=True)
    arriving.mkdir()
    if not any(Path("/var/lib/apt/lists").glob("*_Packages*")) and os.geteuid() == 0:
        _apt("update", cwd=arriving, packages=packages)
    _apt("download", *packages, cwd=arriving, packages=packages)
    for deb in arriving.glob("*.deb"):
        deb.replace(cache / deb.name)
    arriving.rmdir()


def _apt(*arguments: str, cwd: Path, packages: Sequence[str]) -> None:
    patience = [f"-oAcquire::{option}" for option in ("Retries=2", "http::Timeout=30", "https::Timeout=30")]
    command = ["apt-get", "-q", *patience, *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        said = " ".join(done.stderr.strip().splitlines()[-2:]) or f"exit status {done.returncode}"
        hint = "If its package lists are missing or old, run 'apt-get update' first."
        raise LabError(f"'apt-get {arguments[0]}' failed: {said}\n{hint} {_alternatives(packages)}")


def _alternatives(packages: Sequence[str]) -> str:
    return ALTERNATIVES.format(packages=" ".join(packages))
