"""Makes a tiny RIRS_NOISES, laid out like the release.

python tests/data/make_rirs.py FOLDER
"""

import sys
from pathlib import Path

from signals import write

SIZES = ("smallroom", "mediumroom", "largeroom")
ROOMS = 4  # of each size
REAL = (
    "RVB2014_type1_rir_largeroom1_far_angla.wav",
    "RVB2014_type1_noise_largeroom1_1.wav",
    "RVB2014_type1_rir_smallroom1_near_angla.wav",
    "RWCP_type1_rir_cirline_jr1_imp010.wav",
    "RWCP_type3_noise_ofc.wav",
    "air_type1_air_binaural_lecture_0_1.wav",
)
NOISES = 5


def make(folder: Path) -> dict[str, Path]:
    """Makes `folder/RIRS_NOISES`; returns the settings that find it."""
    root = folder / "RIRS_NOISES"
    seed = 0
    for size in SIZES:
        for room in range(1, ROOMS + 1):
            for position in (1, 2):
                seed += 1
                name = f"Room{room:03d}-{position:05d}.wav"
                write(root / "simulated_rirs" / size / f"Room{room:03d}" / name, seed, samples=1_600)
        (root / "simulated_rirs" / size / "rir_list").write_text("--rir-id ...\n", encoding="utf-8")
    for number, name in enumerate(REAL):
        write(root / "real_rirs_isotropic_noises" / name, 100 + number)
    for number in range(NOISES):
        write(root / "pointsource_noises" / f"noise-free-sound-{number:04d}.wav", 200 + number)
    return {"root": root}


if __name__ == "__main__":
    print(make(Path(sys.argv[1])))
