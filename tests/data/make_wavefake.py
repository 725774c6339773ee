"""Makes a tiny WaveFake beside the LJSpeech and the JSUT that it was made of, laid out like the releases.

python tests/data/make_wavefake.py FOLDER
"""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import make_ljspeech
import soundfile
from make_ljspeech import CHAPTERS, CLIPS, ids, length, speech

GAN_FOLDERS = ("melgan", "melgan_large", "multi_band_melgan", "full_band_melgan", "parallel_wavegan")
JSUT_IDS = [f"BASIC5000_{number:04d}" for number in range(1, 13)]
PROMPTS = "common_voices_prompts_from_conformer_fastspeech2_pwg_ljspeech"


def make(folder: Path, chapters: int = CHAPTERS, clips: int = CLIPS) -> dict[str, Path]:
    """Makes `generated_audio`, `LJSpeech-1.1` and `jsut_ver1.1`; returns the settings that find them.

    The fakes' lengths are multiples of 256 samples, or of 300 at 24 kHz; those of the real clips are not.
    """
    ljspeech = make_ljspeech.make(folder, chapters, clips)["root"]
    root = folder / "generated_audio"
    names = ids(chapters, clips)
    for vocoder in GAN_FOLDERS:
        _copies(root / f"ljspeech_{vocoder}", names, "_gen")
    _copies(root / "ljspeech_hifiGAN", names, "_generated")
    _copies(root / "ljspeech_waveglow", names, "")
    for vocoder in ("multi_band_melgan", "parallel_wavegan"):
        for number, name in enumerate(JSUT_IDS):
            _write(
                root / f"jsut_{vocoder}" / f"{name}_gen.wav",
                crc32(f"{vocoder}/{name}".encode()),
                300 * (40 + number),
                24_000,
            )
    for number in range(24):
        _write(root / PROMPTS / f"gen_{number}.wav", 800 + number, 256 * (50 + number % 9), 22_050)
    shutil.copytree(root / PROMPTS, root / PROMPTS / "generated")  # as it is in the release
    (root / "ljspeech_melgan" / "notes.txt").write_text("no audio", encoding="utf-8")
    jsut = folder / "jsut_ver1.1"
    for number, name in enumerate(JSUT_IDS):
        _write(jsut / "basic5000" / "wav" / f"{name}.wav", 700 + number, 24_001 + 8 * number, 48_000)
    return {"root": root, "ljspeech_root": ljspeech, "jsut_root": jsut}


def _copies(folder: Path, names: Sequence[str], ending: str) -> None:
    """A vocoder's folder: every clip of LJSpeech, filled up to a multiple of 256 samples."""
    for number, name in enumerate(names):
        seed = crc32(f"{folder.name}/{name}".encode())  # no two clips alike
        _write(folder / f"{name}{ending}.wav", seed, -(-length(number) // 256) * 256, 22_050)


def _write(path: Path, seed: int, samples: int, rate: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, speech(seed, samples, rate), rate, subtype="PCM_16")


if __name__ == "__main__":
    print(make(Path(sys.argv[1])))
