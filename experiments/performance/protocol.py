"""Measures what ASVspoof 5's evaluation protocol costs in full size: time and memory to parse it, memory to load it."""

import multiprocessing
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from bench import Measurement, report

PARSE_S, PARSE_GB, WORKER_MB = 5, 1, 200
"""Longest time and most memory to parse it, and most memory that its data set may add to a worker."""
MAKER = Path(__file__).parents[2] / "tests" / "data" / "make_asvspoof5.py"
FEW, EVERY, BATCH = 0.01, 10, 64
"""Share in the small data set to compare with; every how many-th utterance is visited, so that every page is."""


def in_a_fresh_process(function, *arguments):
    """What a function returns in a process that has done nothing else."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as processes:
        return processes.submit(function, *arguments).result()


def memory(file, *names):
    """Sum of lines of a file of `/proc/self`, in MB."""
    lines = Path("/proc/self", file).read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.split(":")[0] in names) / 1000


def parse(root):
    """Time in s to parse, then the greatest memory in MB of imports alone and with parsing."""
    from deepfake_lab.data.corpora.asvspoof5 import ASVspoof5

    corpus = ASVspoof5(root, root.parent / "work")
    imports = memory("status", "VmHWM")
    start = time.perf_counter()
    corpus.parse()
    return time.perf_counter() - start, imports, memory("status", "VmHWM")


def write_manifest(root, path):
    """The manifest as it would be, had there been files of 4 s."""
    import pyarrow as pa

    from deepfake_lab.data.corpora.asvspoof5 import ASVspoof5
    from deepfake_lab.data.manifest import SCHEMA, Manifest

    parsed = ASVspoof5(root, root.parent / "work").parse().table
    told = {"start": 0, "frames": 64_000, "sample_rate": 16_000, "channels": 1, "speech_start": 0}
    told |= {"speech_frames": 64_000, "audio_hash": "0123456789abcdef"}
    columns = {name: pa.repeat(pa.scalar(value, SCHEMA.field(name).type), len(parsed)) for name, value in told.items()}
    columns |= {name: parsed[name] for name in parsed.column_names}
    Manifest(pa.table([columns[name] for name in SCHEMA.names], SCHEMA), root, "bench").write(path)


def worker_memory(path, share, start_method):
    """Memory in MB that a loading process has to itself (USS) once it has visited a share of the utterances."""
    import numpy as np
    from torch.utils.data import DataLoader

    from deepfake_lab.data.dataset import UtteranceDataset
    from deepfake_lab.data.manifest import Manifest
    from deepfake_lab.data.sampling import Draw

    table = Manifest.read(path, path.parent).table
    table = table.take(np.arange(round(share * len(table))))  # a slice would carry the whole along
    dataset = UtteranceDataset(Manifest(table, path.parent, "bench"), window_s=0.01)
    loader = DataLoader(
        dataset,
        BATCH,
        sampler=[Draw(row, 0) for row in range(0, len(dataset), EVERY)],
        num_workers=1,
        multiprocessing_context=start_method,
        worker_init_fn=hear_silence,
        collate_fn=own_memory,
    )
    return list(loader)[-1]


def hear_silence(_worker):
    """Spares a worker the audio files, which do not exist."""
    import numpy as np

    from deepfake_lab import audio

    silence = np.zeros(16_000, np.float32)
    audio.load = lambda _path, _start, frames: silence[:frames]


def own_memory(_batch):
    """Memory in MB that nobody shares with this process."""
    return memory("smaps_rollup", "Private_Clean", "Private_Dirty")


def measure():
    """All of it on a protocol of 680,774 lines, whose columns are as frequent as in the real one."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, MAKER, folder, "--full"], check=True, stdout=subprocess.DEVNULL)
        root, manifest = Path(folder, "ASVspoof5"), Path(folder, "manifest.parquet")
        seconds, imports, peak = in_a_fresh_process(parse, root)
        in_a_fresh_process(write_manifest, root, manifest)
        found = [
            Measurement("parsing 680,774 lines", seconds, "s", PARSE_S),
            Measurement("memory of that", peak / 1000, "GB", PARSE_GB, figures=f"imports {imports / 1000:.3f} GB"),
        ]
        for method in ("fork", "spawn"):
            few, full = (in_a_fresh_process(worker_memory, manifest, share, method) for share in (FEW, 1))
            figures = f"{full:.0f} MB, with {FEW:.0%} of the utterances {few:.0f} MB"
            found.append(Measurement(f"data set, {method}ed worker", full - few, "MB", WORKER_MB, figures=figures))
    return found


def main():
    """Prints the table; exits with status 1 where a bound is broken."""
    return report(__doc__, measure)


if __name__ == "__main__":
    raise SystemExit(main())
