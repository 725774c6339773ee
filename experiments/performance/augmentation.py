"""Compares training with all augmentations (`augment=all`) to training without, as the `run` command does both.

Reading, workers and Lightning included: what counts is how many utterances a second are trained on.
"""

import logging
import statistics
import tempfile
import time
import warnings

import pytorch_lightning as pl
import torch
from bench import Measurement, neighbours, report, run_config

from deepfake_lab.checkpoint import build_detector
from deepfake_lab.config import build
from deepfake_lab.tasks.memory import keep_freed_memory

BOUND = 0.7
"""Smallest throughput allowed, in units of that without augmentation."""
UTTERANCES, BATCH, WARM_UP, REPEATS = 320, 32, 4, 3
"""Utterances of each class, and how many batches pass before the clock starts."""


class Clock(pl.Callback):
    """Notes when each batch is done."""

    def __init__(self):
        self.times = []

    def on_train_batch_end(self, trainer, *_):
        if trainer.strategy.root_device.type == "cuda":
            torch.cuda.synchronize()
        self.times.append(time.perf_counter())


def compose(augment, folder):
    """The configuration of `python -m deepfake_lab.run augment=AUGMENT` for one epoch of generated signals of 4 s."""
    overrides = [
        *("data=toy", f"data.root={folder}/toy", "data.seconds=4", f"data.utterances={UTTERANCES}"),
        *(f"augment={augment}", f"loader.batch_size={BATCH}", "trainer.max_epochs=1", f"run_dir={folder}"),
    ]
    return run_config(overrides)


def throughput(augment, folder):
    """Utterances a second in the epoch, after the warm-up."""
    config = compose(augment, folder)
    keep_freed_memory()
    pl.seed_everything(config["seed"], verbose=False)
    data = build(config["loader"], corpus=build(config["data"]))
    loss, optimizer = build(config["loss"]), build(config["optim"])
    task = build(config["task"], detector=build_detector(config["model"]), loss=loss, optimizer=optimizer)
    clock = Clock()
    trainer = build(config["trainer"], callbacks=[clock], logger=False, enable_progress_bar=False)
    trainer.limit_val_batches = 1
    trainer.fit(task, datamodule=data)
    return BATCH * (len(clock.times) - WARM_UP) / (clock.times[-1] - clock.times[WARM_UP - 1])


def measure():
    """Median ratio of neighbours, as the machine's speed drifts."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*does not have many workers")
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists")
    warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated")  # Lightning on torch
    rates = {"all": [], "none": []}
    with tempfile.TemporaryDirectory() as folder:
        throughput("none", folder)  # makes the corpus, whose files are still being written to the disk afterwards
        for _ in range(REPEATS):
            for augment, measured in rates.items():
                measured.append(throughput(augment, folder))
    ratio, spread = neighbours(*rates.values())
    with_all, without = map(statistics.median, rates.values())
    figures = f"{with_all:.0f} utterances/s, without {without:.0f} utterances/s; {spread}"
    return [Measurement("training, crnn, augment=all", ratio, "x", BOUND, True, figures)]


def main():
    """Prints the table; exits with status 1 where a bound is broken."""
    return report(__doc__, measure)


if __name__ == "__main__":
    raise SystemExit(main())
