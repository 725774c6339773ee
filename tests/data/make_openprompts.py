"""Makes KB-sized packages in the layouts of those that openprompts reads, traps included."""

import hashlib
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import soxr

from deepfake_lab.data.corpora.openprompts import OpenPrompts
from deepfake_lab.synthesis.espeak import Espeak

VOICES = {
    "en": ("en_US_f_Allison", 210),
    "es": ("es_MX_f_Allison", 210),
    "fr": ("fr_CA_f_June", 190),
    "it": ("it_IT_m_Carlo", 110),
    "ru": ("ru_RU_f_IvrvoiceRU", 230),
}
LANGUAGES = tuple(VOICES)
RATE = 16_000
PROMPTS = {"activated": 1.6, "vm-deleted": 1.9, "digits/h-80": 1.7, "dictate/pause": 2.2, "demo-instruct": 8.5}


def speech(seconds: float, pitch: float, seed: int) -> np.ndarray:
    """Something voiced, with syllables, pauses, changing formants and breath: (T,), 16 kHz."""
    draw = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE)) / RATE
    phase = np.cumsum(pitch * (1 + 0.1 * np.sin(2 * np.pi * 0.7 * t + seed))) / RATE * 2 * np.pi
    wave = np.zeros_like(t)
    for n in range(1, int(3500 / pitch)):
        formants = 600 + 250 * np.sin(2 * np.pi * 1.3 * t), 1700 + 500 * np.sin(2 * np.pi * 0.9 * t + n)
        wave += sum(np.exp(-(((n * pitch - f) / 250) ** 2)) for f in formants) * np.sin(n * phase)
    syllables = np.clip(np.sin(2 * np.pi * 2.1 * t + 0.3) + 0.6, 0, 1)
    syllables[(t % 5) > 4.6] = 0
    wave = syllables * (wave / np.abs(wave).max() + 0.02 * draw.standard_normal(len(t)))
    return 0.5 * wave / np.abs(wave).max() + 1e-4 * draw.standard_normal(len(t))


def write_g722(path: Path, wave: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = av.AudioFrame.from_ndarray((wave * 32767).astype(np.int16)[None], format="s16", layout="mono")
    frame.sample_rate = RATE
    encoder = av.CodecContext.create("g722", "w")
    encoder.sample_rate, encoder.layout, encoder.format, encoder.time_base = RATE, "mono", "s16", Fraction(1, RATE)
    path.write_bytes(b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)]))


def make(folder: Path) -> Path:
    """Writes the unpacked trees into the folder and returns it."""
    for number, (language, (speaker, pitch)) in enumerate(VOICES.items()):
        package = f"asterisk-core-sounds-{language}-g722"
        sounds = folder / package / "usr/share/asterisk/sounds" / speaker
        for seed, (name, seconds) in enumerate(PROMPTS.items(), start=10 * number):
            write_g722(sounds / f"{name}.g722", speech(seconds, pitch, seed))
        write_g722(sounds / "hello.g722", speech(0.8, pitch, number))  # too short
        write_g722(sounds / "silence/3.g722", speech(3.0, pitch, number))
        write_g722(sounds / "beep.g722", 0.5 * np.sin(2 * np.pi * 1000 * np.arange(2 * RATE) / RATE))
        write_g722(sounds / "nearly-silent.g722", 1e-3 * speech(2.0, pitch, number))
        (sounds / "is.g722").write_bytes(b"")  # the real Russian package has such a file
        notice = folder / package / "usr/share/doc" / package / "copyright"
        notice.parent.mkdir(parents=True)
        notice.write_text("License: CC-BY-SA-3.0\n")
    return folder


WIDE = {  # seconds, rate
    "tuxpaint-stamps-default/usr/share/tuxpaint/stamps": {
        "animals/cat_desc_be.ogg": (1.6, 44_100),
        "animals/cat_desc_ru.ogg": (1.6, 44_100),
        "animals/cat.ogg": (1.5, 44_100),  # it mews
        "animals/cat_desc_ca.ogg": (1.5, 8_000),
        "animals/cat_desc_da.ogg": (0.6, 44_100),
    },
    "ktuberling-data/usr/share/ktuberling/sounds": {"da/hat.ogg": (1.4, 44_100), "uk/hat.wav": (1.4, 48_000)},
    "hedgewars-data/usr/share/games/hedgewars/Data/Sounds/voices": {
        "British/Amazing.ogg": (1.5, 44_100),
        "British/Laugh.ogg": (1.5, 44_100),
        "Robot/Amazing.ogg": (1.5, 44_100),
    },
    "fillets-ng-data-cs/usr/share/games/fillets-ng/sound": {
        "airplane/cs/let-v-oko.ogg": (1.5, 22_050),
        "airplane/cs/let-x-motor.ogg": (1.5, 22_050),  # neither fish
    },
}


def make_wide(folder: Path) -> None:
    """Adds unpacked trees of the packages with other speech than telephone prompts."""
    for seed, (sounds, files) in enumerate(WIDE.items()):
        for number, (name, (seconds, rate)) in enumerate(files.items(), start=10 * seed):
            path = folder / sounds / name
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, soxr.resample(speech(seconds, 150 + number, number), RATE, rate), rate)
    stamps = folder / "tuxpaint-stamps-default/usr/share/tuxpaint/stamps"
    shutil.copy(stamps / "animals/cat_desc_be.ogg", stamps / "animals/tomcat_desc_be.ogg")


def make_debs(folder: Path, trees: Path) -> Path:
    """Packs the trees that `make` has left into .deb files in the folder, and returns it."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is not installed")
    for tree in trees.iterdir():
        pack(shutil.copytree(tree, folder / tree.name))
    return folder


def pack(tree: Path) -> None:
    """Turns a tree into a .deb beside it."""
    control = tree / "DEBIAN/control"
    control.parent.mkdir()
    control.write_text(
        f"Package: {tree.name}\nVersion: 1.6.1-1\nArchitecture: all\nMaintainer: nobody\nDescription: test\n"
    )
    deb = tree.with_name(f"{tree.name}_1.6.1-1_all.deb")
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", str(tree), str(deb)], check=True, capture_output=True
    )
    shutil.rmtree(tree)


def espeak_only(root, packages, **settings) -> OpenPrompts:
    """The corpus with the quickest system alone, unless other settings are given."""
    names = ["espeak"]
    splits = {"train": names, "dev": names, "test": names}
    usual = {"workers": 1, "systems": {"espeak": Espeak()}, "splits": splits}
    return OpenPrompts(root, packages_dir=packages, **{**usual, **settings})


def contents(root: Path) -> dict[str, str]:
    """Hashes of everything that a user of the corpus reads, by path."""
    files = sorted([*root.glob("audio/*/*"), root / "manifest.parquet", root / "plan.json", root / "NOTICE"])
    return {str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
