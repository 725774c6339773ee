"""Compares training of a CRNN on openprompts with and without the feature cache: clips a second, and dev EER.

Each training is a process of its own, as the `run` command would do it; they take turns, each turn with a seed of its
own. The cache is built beforehand, the first one timed. Clips a second are those of whole epochs after the first, from
the first step to the last.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import Measurement, neighbours, report, run_config
from scipy import stats

BOUND = 1.5
"""Smallest throughput allowed with the cache, in units of that without."""
EPOCHS = int(os.environ.get("EPOCHS", "8"))
TURNS = int(os.environ.get("TURNS", "3"))
CORPUS = Path(os.environ.get("OPENPROMPTS", "corpora/openprompts-small")).resolve()


def train(cache, seed):
    """Trains one detector; prints clips a second, seconds of building the cache and the dev EER."""
    import pytorch_lightning as pl

    from deepfake_lab.checkpoint import build_detector
    from deepfake_lab.config import build
    from deepfake_lab.tasks.features import feature_recipe
    from deepfake_lab.tasks.memory import keep_freed_memory

    class Clock(pl.Callback):
        """Notes when epochs of training begin and end; validation lies between them."""

        def __init__(self):
            self.seconds = []

        def on_train_epoch_start(self, trainer, task):
            self.begun = time.perf_counter()

        def on_train_batch_end(self, trainer, task, outputs, batch, batch_idx):
            if batch_idx + 1 == trainer.num_training_batches:
                self.seconds.append(time.perf_counter() - self.begun)

    overrides = [
        "model=crnn",
        "data=openprompts",
        f"data.root={CORPUS}",
        f"trainer.max_epochs={EPOCHS}",
        f"seed={seed}",
    ]
    config = run_config([*overrides, f"loader.feature_cache={cache or 'null'}", f"run_dir={Path.cwd()}"])
    keep_freed_memory()
    pl.seed_everything(config["seed"], workers=True, verbose=False)
    data = build(config["loader"], corpus=build(config["data"]))
    data.setup()
    detector = build_detector(config["model"])
    task = build(config["task"], detector=detector, loss=build(config["loss"]), optimizer=build(config["optim"]))
    begun = time.perf_counter()
    if cache:
        data.keep_features(feature_recipe(task, data))
    building = time.perf_counter() - begun
    clock = Clock()
    settings = {"callbacks": [clock], "logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
    trainer = build(config["trainer"], **settings)
    trainer.fit(task, datamodule=data)
    trainer.validate(task, datamodule=data, verbose=False)
    clips = data.batch_size * trainer.num_training_batches
    told = {
        "rate": clips / statistics.median(clock.seconds[1:]),
        "building": building,
        "eer": float(trainer.callback_metrics["dev/eer"]),
    }
    print(json.dumps(told))


def in_process(cache, seed, folder):
    """What `train` prints, in a process of its own."""
    command = [sys.executable, Path(__file__).resolve(), "--train", str(cache or ""), str(seed)]
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "OPENPROMPTS": str(CORPUS)}
    process = subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(process.stdout.splitlines()[-1])


def measure():
    """Ratio of the throughputs of neighbours, and by how much the mean EER lies outside of the other's interval."""
    told = {"with": [], "without": []}
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder, "features")
        told["with"].append(in_process(cache, 0, folder))
        building = told["with"][0]["building"]
        for seed in range(TURNS):
            if seed:
                told["with"].append(in_process(cache, seed, folder))
            told["without"].append(in_process(None, seed, folder))
    rates, eers = ({name: [each[value] for each in runs] for name, runs in told.items()} for value in ("rate", "eer"))
    ratio, spread = neighbours(rates["with"], rates["without"])
    medians = {name: statistics.median(values) for name, values in rates.items()}
    figures = f"{medians['with']:.0f} clips/s, without {medians['without']:.0f} clips/s; {spread}"
    cached, plain = (statistics.mean(eers[name]) for name in ("with", "without"))
    low, high = stats.t.interval(0.95, TURNS - 1, plain, stats.sem(eers["without"]))
    outside = max(low - cached, cached - high, 0.0)
    without = f"without {plain:.2%} ({max(low, 0):.2%} to {high:.2%})"
    told_eers = f"dev EER {cached:.2%}, {without}; {TURNS} seeds, {EPOCHS} epochs"
    return [
        Measurement("feature cache, crnn", ratio, "x", BOUND, True, figures),
        Measurement("its mean EER outside the other's interval", 100 * outside, "%", 0.0, figures=told_eers),
        Measurement("building it", building, "s"),
    ]


def main():
    """Prints the table; exits with status 1 where a bound is broken."""
    if sys.argv[1:2] == ["--train"]:
        return train(*sys.argv[2:4])
    if not (CORPUS / "manifest.parquet").is_file():
        print(f"{CORPUS}: not prepared. python -m deepfake_lab.prepare data=openprompts, or OPENPROMPTS=FOLDER")
        return 2
    return report(__doc__, measure)


if __name__ == "__main__":
    raise SystemExit(main())
