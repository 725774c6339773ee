"""MLflow that goes away while a run goes on: nothing is lost, nothing is sent twice, nobody waits for long."""

import contextlib
import json
import shutil
import signal

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from requests.exceptions import ConnectionError as Unreachable
from servers import free_port, mlflow_server

from deepfake_lab.data.files import DiskError
from deepfake_lab.tracking.outbox import Outbox
from deepfake_lab.types import LabError


class Store:
    """Takes entries, unless it is away."""

    def __init__(self):
        self.taken = []
        self.error = None

    def __call__(self, entry):
        if self.error:
            raise self.error
        self.taken.append(entry["number"])


@pytest.fixture
def store():
    return Store()


def waiting(file):
    return [json.loads(line)["number"] for line in file.read_text().splitlines()] if file.exists() else []


def test_what_cannot_be_sent_waits_in_order(store, tmp_path):
    outbox = Outbox(tmp_path / "outbox.jsonl", store)
    outbox.add({"number": 0})
    store.error = Unreachable("nobody there")
    for number in (1, 2):
        outbox.add({"number": number})
    assert (store.taken, waiting(tmp_path / "outbox.jsonl"), len(outbox)) == ([0], [1, 2], 2)
    store.error = None
    outbox.flush()
    assert (store.taken, waiting(tmp_path / "outbox.jsonl"), len(outbox)) == ([0, 1, 2], [], 0)


def test_a_store_that_is_away_is_not_asked_every_time(store, tmp_path):
    outbox = Outbox(tmp_path / "outbox.jsonl", store)
    store.error = MlflowException("try later")
    outbox.add({"number": 0})
    store.error = None
    outbox.add({"number": 1})
    assert store.taken == [], "it waits for ten seconds at least"


def test_another_process_sends_what_a_killed_one_has_left(store, tmp_path):
    file = tmp_path / "outbox.jsonl"
    file.write_text('{"number": 0}\n{"number": 1}\n{"num')
    Outbox(file, store).flush()
    assert (store.taken, file.exists()) == ([0, 1], False)


def test_a_refusal_is_an_error_and_does_not_come_again(store, tmp_path):
    outbox = Outbox(tmp_path / "outbox.jsonl", store)
    store.error = MlflowException.invalid_parameter_value("no such metric")
    with pytest.raises(MlflowException, match="no such metric"):
        outbox.add({"number": 0})
    store.error = None
    outbox.add({"number": 1})
    assert store.taken == [1]


def test_half_a_line_that_a_kill_has_left_spoils_no_other(store, tmp_path):
    file = tmp_path / "outbox.jsonl"
    file.write_text('{"number": 0}\n{"numb')
    store.error = Unreachable("nobody there")
    Outbox(file, store).add({"number": 1})
    assert waiting(file) == [0, 1]
    store.error = None
    Outbox(file, store).flush()
    assert store.taken == [0, 1]


def test_a_full_disk_is_named_and_spoils_nothing(store, disk):
    file = disk.folder / "outbox.jsonl"
    store.error = Unreachable("nobody there")
    outbox = Outbox(file, store)
    for number in range(3):
        outbox.add({"number": number})
    disk.fill(leave=0)
    with pytest.raises(DiskError, match=r"outbox\.jsonl: cannot be written: no space is left on its disk"):
        outbox.add({"number": 3, "text": "x" * 10_000})
    assert disk.files()["outbox.jsonl"].count(b"\n") == 3
    store.error = None
    (disk.folder / "filling").unlink()
    again = Outbox(file, store)
    again.flush()
    assert store.taken == [0, 1, 2]


def test_a_damaged_file_is_named(store, tmp_path):
    file = tmp_path / "outbox.jsonl"
    file.write_text('{"number: 0}\n')
    with pytest.raises(LabError, match=r"outbox.jsonl: line 1 is no JSON"):
        Outbox(file, store)


def test_without_a_file_nothing_waits(store):
    store.error = Unreachable("nobody there")
    with pytest.raises(Unreachable):
        Outbox(None, store).add({"number": 0})


def assert_whole(address, lab, epochs):
    """The server has everything of the one run that an unbroken one leaves, each number once."""
    client = mlflow.MlflowClient(address)
    experiment = client.get_experiment_by_name("deepfake_lab")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert [point.step for point in client.get_metric_history(run.info.run_id, "train/loss")] == list(range(epochs))
    of_dev = [point.step for point in client.get_metric_history(run.info.run_id, "dev/loss")]
    assert of_dev == [*range(epochs), epochs], "each epoch's, and that of the detector that is kept"
    reported = json.loads((lab.runs[0] / "report/metrics.json").read_text())
    assert run.data.metrics["test/eer"] == pytest.approx(reported["test/eer"])
    artifacts = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert artifacts >= {"config.yaml", "report", "detector.ckpt"}
    assert len(client.search_model_versions(f"run_id = '{run.info.run_id}'")) == 1
    assert not (lab.runs[0] / "outbox.jsonl").exists()


@pytest.mark.slow
@pytest.mark.parametrize("comes_back", [True, False])
def test_a_run_outlives_the_server(lab, empty_database, tmp_path, comes_back):
    shutil.copy(empty_database, tmp_path / "server.db")
    store, folder, port = f"sqlite:///{tmp_path}/server.db", tmp_path / "server", free_port()
    settings = ["experiment=toy", "trainer.max_epochs=12", "callbacks.early_stopping=null"]
    with contextlib.ExitStack() as later:
        with mlflow_server(store, folder, port) as address:
            process = lab.start("deepfake_lab.run", *settings, f"tracking.uri={address}", PYTHONUNBUFFERED="1")
            later.callback(process.kill)
            next(line for line in process.stdout if "epoch   2/" in line)
        next(line for line in process.stdout if "epoch   6/" in line)
        (run,) = lab.runs
        assert (run / "outbox.jsonl").is_file()
        if comes_back:
            process.send_signal(signal.SIGSTOP)  # an epoch takes less time than a server to start
            later.enter_context(mlflow_server(store, folder, port))
            process.send_signal(signal.SIGCONT)
        printed = process.communicate(timeout=200)[0]
        assert process.returncode == 0, printed
        assert (run / "report/metrics.json").is_file()
        if not comes_back:
            assert (run / "outbox.jsonl").is_file()
            later.enter_context(mlflow_server(store, folder, port))
            status, told = lab("report", "what=outbox", f"run={run}")
            assert (status, "outbox.jsonl: sent to" in told) == (0, True), told
        assert_whole(address, lab, 12)
