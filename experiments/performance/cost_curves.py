"""Measures what preparing, a training epoch, scoring and a report cost against the number of utterances.

Corpora of generated noise, each ten times as large as the one before; each point in a process of its own, whose imports
are not in the time, but in the memory. A tiny detector on short windows leaves the cost of everything around it.
"""

import argparse
import csv
import resource
import sys
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import soundfile
from bench import Measurement, told
from protocol import in_a_fresh_process

HOME = Path(__file__).parent
SIZES = (200, 2_000, 20_000)
BOUND = 1.1
"""Largest power of the number of utterances by which time may grow in the last tenfold step: 1 is linear."""
SECONDS = 0.5
TINY = (
    *("model.encoder.widths=[4,4,4,4]", "model.encoder.hidden=4", "model.encoder.embedding_dim=4"),
    *(f"loader.window_s={SECONDS}", "loader.num_workers=0", "trainer.max_epochs=1", "+trainer.limit_val_batches=1"),
)
DEALT = ("train",) * 9 + ("dev",) * 2 + ("test",) * 9
"""Splits by turns: of twenty pairs of a real and a fake, nine are trained on and nine scored."""


def write_corpus(root, size):
    """So many FLAC files of noise, half of them spoofs, in the folders that `data=folder` wants."""
    rng = np.random.default_rng(0)
    for number in range(size):
        path = root / DEALT[number // 2 % len(DEALT)] / ("bonafide", "spoof/noise")[number % 2] / f"{number:06d}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * rng.standard_normal(round(SECONDS * 16_000)), 16_000, subtype="PCM_16")


def configured(folder):
    """The configuration of a run on the corpus in a folder, and the corpus as Lightning takes it."""
    from epochs import configuration, corpus_of

    place = ("data=folder", f"data.root={folder}/audio", f"data.work={folder}/work", "data.workers=1")
    config = configuration(folder, *place, *TINY)
    return config, corpus_of(config)


def prepare(folder):
    """Finds and checks the files, writes the manifest."""
    from deepfake_lab.data.corpora.folder import Folder

    start = time.perf_counter()
    manifest = Folder(folder / "audio", folder / "work", workers=1).prepare(force=True)
    return len(manifest), time.perf_counter() - start


def training_epoch(folder):
    """Trains for an epoch, recorded in MLflow."""
    import pytorch_lightning as pl
    from epochs import fit

    from deepfake_lab.config import build

    config, datamodule = configured(folder)
    with build(config["tracking"]).run("cost_curves") as tracked:
        start = time.perf_counter()
        fit(config, datamodule, tracked, pl.Callback())
        return len(datamodule.split("train")), time.perf_counter() - start


def scoring(folder):
    """Scores the test split and makes the score table."""
    import pytorch_lightning as pl

    from deepfake_lab.checkpoint import build_detector
    from deepfake_lab.config import build
    from deepfake_lab.evaluation.scores import score_table

    config, datamodule = configured(folder)
    loss, optimizer = build(config["loss"]), build(config["optim"])
    task = build(config["task"], detector=build_detector(config["model"]), loss=loss, optimizer=optimizer)
    task.detector.eer_threshold.fill_(0.0)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, default_root_dir=folder)
    start = time.perf_counter()
    trainer.test(task, datamodule=datamodule, verbose=False)
    scored = score_table(datamodule.split("test"), *task.scored("test"))
    return len(scored), time.perf_counter() - start


def reporting(folder):
    """Computes every number of a report with its interval, draws the figures, writes the pages."""
    import pandas as pd

    from deepfake_lab.evaluation.report import write_report
    from deepfake_lab.evaluation.scores import score_table
    from deepfake_lab.evaluation.summary import summarize

    _, datamodule = configured(folder)
    rng, tables = np.random.default_rng(0), []
    for split in ("dev", "test"):
        manifest = datamodule.split(split)
        score = rng.standard_normal(len(manifest)) - 2.0 * manifest.table["label"].to_numpy()
        tables.append(score_table(manifest, np.arange(len(manifest)), score))
    scored = pd.concat(tables)
    start = time.perf_counter()
    write_report(scored, summarize(scored, -1.0), folder / "report")
    return len(scored), time.perf_counter() - start


WORK = {"prepare": prepare, "training epoch": training_epoch, "scoring": scoring, "report": reporting}


def cost(name, folder):
    """Utterances, time in s and greatest memory in MB of a piece of work; in a process of its own."""
    import logging
    import warnings

    for logger in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(logger).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated")  # Lightning on torch
    warnings.filterwarnings("ignore", message="The .* does not have many workers")  # one process alone is measured
    utterances, seconds = WORK[name](folder)
    return utterances, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def measure(sizes):
    """Points of all curves."""
    points = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_corpus(folder / "audio", size)
            for work in WORK:
                print(f"{work}, {size:,} utterances ...", file=sys.stderr)
                utterances, seconds, memory = in_a_fresh_process(cost, work, folder)
                point = {"work": work, "corpus": size, "utterances": utterances}
                points.append(point | {"time_s": round(seconds, 3), "memory_mb": round(memory, 1)})
    return points


def judged(points):
    """The last step of each curve: how time grows, where 1 is in proportion and 2 with the square, and the slopes."""
    found = []
    for work in WORK:
        before, after = [point for point in points if point["work"] == work][-2:]
        more = after["utterances"] - before["utterances"]
        milliseconds, kilobytes = (1e3 * (after[name] - before[name]) / more for name in ("time_s", "memory_mb"))
        exponent = np.log(after["time_s"] / before["time_s"]) / np.log(after["utterances"] / before["utterances"])
        figures = f"{milliseconds:.3f} ms and {kilobytes:.2f} kB an utterance"
        found.append(Measurement(f"{work}, power of growth", exponent, "", BOUND, figures=figures))
    return found


def draw(points, path):
    """Time and memory against the number of utterances."""
    figure, panels = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axes, column, label in zip(panels, ("time_s", "memory_mb"), ("time (s)", "greatest memory (MB)"), strict=True):
        for work, marker in zip(WORK, "osD^", strict=True):
            curve = [(point["utterances"], point[column]) for point in points if point["work"] == work]
            axes.loglog(*zip(*curve, strict=True), marker=marker, label=work)
        axes.set(xlabel="utterances", ylabel=label)
        axes.set_ylim(bottom=0.5 * min(point[column] for point in points))
        axes.grid(color="0.9", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    first = panels[0].lines[0].get_xdata()
    panels[0].loglog(first, 1e-3 * np.asarray(first), color="0.6", linestyle=":", label="1 ms an utterance")
    panels[0].legend(frameon=False)
    figure.savefig(path, dpi=150)


def main():
    """Prints how the curves grow, leaves points and picture; exits with status 1 where one bends upwards."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="utterances of the corpora")
    parser.add_argument("--folder", type=Path, default=HOME, help="for cost_curves.csv and cost_curves.png")
    options = parser.parse_args()
    points = measure(options.sizes)
    with (options.folder / "cost_curves.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(points[0]))
        writer.writeheader()
        writer.writerows(points)
    draw(points, options.folder / "cost_curves.png")
    return told(judged(points))


if __name__ == "__main__":
    raise SystemExit(main())
