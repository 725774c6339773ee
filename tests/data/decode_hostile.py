"""Decodes damaged sounds in every way in which the lab does, with little memory and little time.

A program of its own, `python decode_hostile.py FOLDER SEED COUNT`, since a decoder may crash or eat the machine. It
prints what else than sound or an `AudioError` came of a file, which it leaves in the folder.
"""

import faulthandler
import resource
import sys
import traceback
from contextlib import suppress
from pathlib import Path

import av  # noqa: F401  # before memory is limited
import torch  # noqa: F401
from make_bad_uploads import bad_uploads
from mutations import mutations, sounds

from deepfake_lab import audio
from deepfake_lab.data.inspection import inspect
from deepfake_lab.serving.decoding import Recording

MEMORY = 400 << 20
"""Bytes that decoding may take beyond what the program has when it begins."""
SECONDS = 20
"""That a single file may take; a machine that is busy with other things is slow."""
LONGEST_S = 60.0


def decode(path: Path) -> None:
    """Everything that the lab does to a file of which it knows nothing."""
    for depth in ("full", "header"):
        inspect(path.parent, path.name, depth)
    for frames in (None, 100):
        with suppress(audio.AudioError):
            audio.load(path, 50, frames)
    for source in (path, path.read_bytes()):
        recording = Recording(source, path.name, most_s=LONGEST_S)
        recording.stated_s()
        with suppress(audio.AudioError):
            for _ in recording.waves():
                pass


def files(seed: int, count: int):
    """Names and contents."""
    whole = sounds()
    for ending, content in whole.items():
        for number, changed in enumerate(mutations(content, seed, count, list(whole.values()))):
            yield f"{number}.{ending}", changed
    if not seed:
        yield from bad_uploads()


def main() -> None:
    """Decodes them all."""
    folder, seed, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    done = 0
    for name, content in files(seed, count):
        path = folder / name.replace("/", "_")
        path.write_bytes(content)
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        print(path, file=sys.stderr, flush=True)
        try:
            decode(path)
        except Exception:  # which it must not
            print(f"{path}: {traceback.format_exc()}", flush=True)
            path = folder / "kept"
        done += 1
        path.unlink(missing_ok=True)
    faulthandler.cancel_dump_traceback_later()
    print(f"{done} files", flush=True)


if __name__ == "__main__":
    main()
