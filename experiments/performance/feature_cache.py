"""Compares training of a CRNN on openprompts with and without the feature cache: clips a second, and dev EER.

Each training is a process of its own, as the `run` command would do it; they take turns. The cache is built beforehand
and its building timed. Clips a second are those of whole epochs after the first, from the first step to the last.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import Measurement, report, run_config

BOUND = 1.5
"""Smallest throughput allowed with the cache, in units of that without."""
EPOCHS = int(os.environ.get("EPOCHS", "3"))
TURNS = int(os.environ.get("TURNS", "3"))
CORPUS = Path(os.environ.get("OPENPROMPTS", "corpora/openprompts-small")).resolve()


def train(cache):
    """Trains one detector; prints clips a second, seconds of building the cache and the dev EER with its interval."""
    import pytorch_lightning as pl

    from deepfake_lab.checkpoint import build_detector
    from deepfake_lab.config import build
    from deepfake_lab.evaluation.scores import score_table
    from deepfake_lab.evaluation.summary import summarize
    from deepfake_lab.tasks.features import feature_recipe

    class Clock(pl.Callback):
        """Notes when epochs of training begin and end; validation lies between them."""

        def __init__(self):
            self.seconds = []

        def on_train_epoch_start(self, trainer, task):
            self.begun = time.perf_counter()

        def on_train_batch_end(self, trainer, task, outputs, batch, batch_idx):
            if batch_idx + 1 == trainer.num_training_batches:
                self.seconds.append(time.perf_counter() - self.begun)

    overrides = ["model=crnn", "data=openprompts", f"data.root={CORPUS}", f"trainer.max_epochs={EPOCHS}"]
    config = run_config([*overrides, f"loader.feature_cache={cache or 'null'}", f"run_dir={Path.cwd()}"])
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
    summary = summarize(score_table(data.split("dev"), *task.scored("dev")), float(detector.eer_threshold))
    clips = data.batch_size * trainer.num_training_batches
    told = {
        "rate": clips / statistics.median(clock.seconds[1:]),
        "building": building,
        "eer": float(trainer.callback_metrics["dev/eer"]),
        "interval": list(summary.eer_interval("dev")),
    }
    print(json.dumps(told))


def in_process(cache, folder):
    """What `train` prints, in a process of its own."""
    command = [sys.executable, Path(__file__).resolve(), "--train", str(cache or "")]
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}
    process = subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(process.stdout.splitlines()[-1])


def measure():
    """Ratio of the median throughputs, and the difference of EER in units of its interval."""
    told = {"with": [], "without": []}
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder, "features")
        building = in_process(cache, folder)["building"]
        for _ in range(TURNS):
            told["with"].append(in_process(cache, folder))
            told["without"].append(in_process(None, folder))
    rates = {name: [each["rate"] for each in runs] for name, runs in told.items()}
    ratios = [mine / other for mine, other in zip(rates["with"], rates["without"], strict=True)]
    medians = {name: statistics.median(values) for name, values in rates.items()}
    spread = f"{min(ratios):.2f} to {max(ratios):.2f} x in {TURNS} turns"
    figures = f"{medians['with']:.0f} clips/s, without {medians['without']:.0f} clips/s; {spread}"
    cached, plain = told["with"][0], told["without"][0]
    low, high = plain["interval"]
    outside = max(low - cached["eer"], cached["eer"] - high, 0.0)
    eers = f"dev EER {cached['eer']:.2%}, without {plain['eer']:.2%} ({low:.2%} to {high:.2%}) after {EPOCHS} epochs"
    return [
        Measurement("feature cache, crnn", medians["with"] / medians["without"], "x", BOUND, True, figures),
        Measurement("its EER outside the other's interval", 100 * outside, "%", 0.0, figures=eers),
        Measurement("building it", building, "s"),
    ]


def main():
    """Prints the table; exits with status 1 where a bound is broken."""
    if sys.argv[1:2] == ["--train"]:
        return train(sys.argv[2])
    if not (CORPUS / "manifest.parquet").is_file():
        print(f"{CORPUS}: not prepared. python -m deepfake_lab.prepare data=openprompts, or OPENPROMPTS=FOLDER")
        return 2
    return report(__doc__, measure)


if __name__ == "__main__":
    raise SystemExit(main())
