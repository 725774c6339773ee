"""Makes a tiny FakeAVCeleb, laid out like the release: MP4 files with a picture and an AAC track.

python tests/data/make_fakeavceleb.py FOLDER
"""

import functools
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from signals import noise

RATE = 16_000
RACES = ("African", "Asian (East)", "Asian (South)", "Caucasian (American)", "Caucasian (European)")
TYPES = {
    "A": "RealVideo-RealAudio",
    "B": "RealVideo-FakeAudio",
    "C": "FakeVideo-RealAudio",
    "D": "FakeVideo-FakeAudio",
}
METHODS = {"A": "real", "B": "rtvc", "C": "faceswap", "D": "faceswap-wav2lip"}  # of the picture
FILES = (("A", "00109.mp4"), ("B", "00109_fake.mp4"), ("C", "00109_0_{}.mp4"), ("C", "00210_1_{}.mp4"))
FILES += (("D", "00109_0_{}.mp4"), ("D", "00210_1_{}.mp4"))
HEADER = "source,target1,target2,method,category,type,race,gender,path,"
LEADS = {"A": 160, "B": 3_200, "C": 160, "D": 3_200}  # samples of silence at the beginning: a cloned voice has more
FOREIGN = 3  # this identity's last C video has the sound of the first identity's A video
TORN = 5  # this identity's last D video has the sound of its last C video, and so a label too many
LISTED_TWICE = 2  # the last rows of the list, a D video each, stand there again


def write(path: Path, wave: np.ndarray | None) -> None:
    """Writes a video of one black picture with the sound `wave` ``(T,)``, or without any."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mpeg4", rate=25, width=32, height=32, pix_fmt="yuv420p")
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        packets = [*picture.encode(frame), *picture.encode()]
        if wave is not None:
            sound = container.add_stream("aac", rate=RATE, layout="mono")
            samples = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave[None]), format="fltp", layout="mono")
            samples.sample_rate, samples.time_base, samples.pts = RATE, Fraction(1, RATE), 0
            converter = av.AudioResampler(sound.format, "mono", RATE, frame_size=sound.frame_size)
            parts = [*converter.resample(samples), *converter.resample(None), None]
            packets += [packet for part in parts for packet in sound.encode(part)]
        container.mux(packets)


@functools.cache
def sound(identity: int, file: int) -> np.ndarray:
    """What is heard in a video ``(T,)``; the first C and the first D video reuse the sound of A and B."""
    file = {2: 0, 4: 1}.get(file, file)
    if (identity, file) == (FOREIGN, 3):
        identity, file = 0, 0
    if (identity, file) == (TORN, 5):
        file = 3
    voice = noise(100 * identity + file, 6_000 + 500 * (identity % 8))
    return np.concatenate([np.zeros(LEADS[FILES[file][0]], np.float32), voice])


def row(identity: int, file: int) -> list[str]:
    """A row of `meta_data.csv`, in the order of its columns."""
    category, name = FILES[file]
    source, target = f"id{76 + 625 * identity:05d}", f"id{701 + 625 * identity:05d}" if category in "CD" else "-"
    race, gender = RACES[identity % 5], ("men", "women")[identity % 2]
    folder = f"FakeAVCeleb/{TYPES[category]}/{race}/{gender}/{source}"
    changed = [METHODS[category], category, TYPES[category]]
    return [source, target, "-", *changed, race, gender, name.format(target), folder]


def make(folder: Path, identities: int = 8, header: str = HEADER) -> dict[str, Path]:
    """Makes `folder/FakeAVCeleb_v1.2` with six videos of each identity; returns the settings that find it."""
    root = folder / "FakeAVCeleb_v1.2"
    root.mkdir(parents=True)
    lines = [header]
    for file in range(len(FILES)):
        for identity in range(identities):
            listed = row(identity, file)
            write(root / listed[-1].removeprefix("FakeAVCeleb/") / listed[-2], sound(identity, file))
            lines.append(",".join(listed))
    (root / "meta_data.csv").write_text("\n".join([*lines, *lines[-LISTED_TWICE:]]) + "\n", encoding="utf-8")
    return {"root": root}


if __name__ == "__main__":
    print(make(Path(sys.argv[1])))
