"""Times what MLflow records of an epoch of training, as the lab sends it, into a SQLite store.

A short training is listened to: whatever Lightning hands to the logger in its last epoch is then sent again and again,
as later epochs. Beside it stands the same in one call, which is the least that MLflow can take.
"""

import itertools
import logging
import tempfile
import time
import warnings
from unittest import mock

import pytorch_lightning as pl
from bench import Measurement, medians, report
from epochs import configuration, corpus_of, fit
from mlflow import MlflowClient
from mlflow.entities import Metric

from deepfake_lab.config import build

BOUND = 0.15
"""Longest time of an epoch's records, in s."""
EPOCHS, REPEATS = 2, 30


def sent_in_an_epoch(config, tracked):
    """Calls of the logger in the last epoch of a training: the numbers of each."""
    with mock.patch.object(tracked.logger, "log_metrics", wraps=tracked.logger.log_metrics) as log:
        fit(config, corpus_of(config), tracked, pl.Callback())
    calls = [call.kwargs["metrics"] for call in log.call_args_list if call.kwargs["step"] == EPOCHS - 1]
    assert any("train/eer" in numbers for numbers in calls), "the metrics of training are recorded in another way"
    return calls


def measure():
    """Median time of an epoch's calls, and of one call with all of it."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated")  # Lightning on torch
    with tempfile.TemporaryDirectory() as folder:
        corpus = ("data=toy", f"data.root={folder}/toy", "loader.num_workers=0")
        config = configuration(folder, *corpus, f"trainer.max_epochs={EPOCHS}")
        with build(config["tracking"]).run("records") as tracked:
            calls = sent_in_an_epoch(config, tracked)
            step, client = itertools.count(EPOCHS), MlflowClient()

            def lab():
                epoch = next(step)
                for numbers in calls:
                    tracked.logger.log_metrics(metrics=numbers, step=epoch)

            def bare():
                epoch, now = next(step), time.time_ns() // 1_000_000
                numbers = {name: value for call in calls for name, value in call.items()}
                client.log_batch(tracked.id, [Metric(name, value, now, epoch) for name, value in numbers.items()])

            seconds = medians({"lab": lab, "bare": bare}, REPEATS)
    sent = f"{sum(map(len, calls))} numbers in {len(calls)} calls; in one call {1e3 * seconds['bare']:.0f} ms"
    return [Measurement("MLflow, records of an epoch", seconds["lab"], "s", BOUND, figures=sent)]


def main():
    """Prints the table; exits with status 1 where a bound is broken."""
    return report(__doc__, measure)


if __name__ == "__main__":
    raise SystemExit(main())
