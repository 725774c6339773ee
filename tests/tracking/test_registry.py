"""Detectors as MLflow models: loaded by MLflow alone, registered, promoted."""

import shutil
from typing import NamedTuple

import numpy as np
import pytest
import torch
from scipy.special import expit, logit

from deepfake_lab.checkpoint import load_detector
from deepfake_lab.tracking import Tracking
from deepfake_lab.tracking.registry import Registry, Version
from deepfake_lab.types import LabError

NAME = "deepfake-detector-toy"


class Store(NamedTuple):
    """A store of the test's own in which a run has been recorded."""

    tracking: Tracking
    registry: Registry
    run_id: str
    checkpoint: str

    def another_run(self, corpus="toy", epochs=1, run_id=None, tags=None):
        """Records another run with the same detector, or goes on with a run. Returns its id."""
        with self.tracking.run("another", tags=tags, run_id=run_id) as run:
            run.log_detector(self.checkpoint, epochs, corpus)
            run.log_results({"test/eer": 0.25}, epochs, "described")
        return run.id

    def versions(self):
        import mlflow

        found = mlflow.MlflowClient().search_model_versions(f"name = '{NAME}'")
        return sorted((int(version.version), version.run_id) for version in found)


@pytest.fixture
def store(toy_run, tmp_path):
    import mlflow

    database = shutil.copy(toy_run.parents[1] / "mlflow.db", tmp_path)
    artifacts = str(tmp_path / "artifacts")
    tracking = Tracking(f"sqlite:///{database}", "another", artifacts, system_metrics=False)
    registry = Registry(tracking)
    (run,) = mlflow.search_runs(experiment_names=["deepfake_lab"], output_format="list")
    return Store(tracking, registry, run.info.run_id, toy_run / "detector.ckpt")


class TestModel:
    @pytest.fixture(autouse=True)
    def model(self, store, monkeypatch):
        import mlflow

        monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
        self.uri = f"runs:/{store.run_id}/detector"
        self.model = mlflow.pyfunc.load_model(self.uri)
        self.detector = load_detector(store.checkpoint)

    @pytest.mark.parametrize("shape", [(1, 1), (3, 5_000), (40, 1_600)])
    def test_gives_the_scores_of_the_detector(self, shape):
        wave = np.random.default_rng(0).standard_normal(shape).astype(np.float32) / 10
        with torch.inference_mode():
            score = self.detector(torch.from_numpy(wave)).score.double().numpy()
        predicted = self.model.predict(wave)
        assert list(predicted.columns) == ["score", "p_fake"]
        np.testing.assert_allclose(predicted["score"], score, atol=1e-5)
        np.testing.assert_allclose(predicted["p_fake"], expit(-score), atol=1e-5)
        rare = self.model.predict(wave, params={"prior_spoof": 0.05})
        np.testing.assert_allclose(rare["p_fake"], expit(logit(0.05) - score), atol=1e-5)

    def test_has_a_signature_and_an_example_that_fits_it(self):
        from mlflow.models import Model

        described = Model.load(self.uri)
        assert str(described.signature.inputs) == "[Tensor('float32', (-1, -1))]"
        assert described.signature.outputs.input_names() == ["score", "p_fake"]
        example = described.load_input_example()
        assert example.dtype == np.float32
        assert len(self.model.predict(example)) == len(example) == 2

    def test_refuses_what_is_no_batch_and_no_probability(self):
        from mlflow.exceptions import MlflowException

        with pytest.raises(MlflowException, match="schema"):
            self.model.predict(np.zeros(1600, np.float32))
        with pytest.raises(LabError, match=r"prior_spoof=1\.0: a probability"):
            self.model.predict(np.zeros((1, 1600), np.float32), params={"prior_spoof": 1.0})

    def test_needs_the_lab_and_nothing_that_is_pickled(self, tmp_path):
        import mlflow

        folder = tmp_path / "model"
        mlflow.artifacts.download_artifacts(self.uri, dst_path=str(folder))
        (requirements,) = folder.rglob("requirements.txt")
        assert requirements.read_text().splitlines()[0].startswith("deepfake-lab==")
        assert "+" not in requirements.read_text()
        assert not list(folder.rglob("*.pkl"))
        (checkpoint,) = folder.rglob("detector.ckpt")
        torch.save({"detector": folder}, checkpoint)  # a path is an object, so it has to be pickled
        with pytest.raises(LabError, match="may run code"):
            mlflow.pyfunc.load_model(str(requirements.parent))


def test_metrics_of_the_run_are_metrics_of_the_model(store):
    import mlflow

    run_id = store.another_run()
    (output,) = mlflow.get_run(run_id).outputs.model_outputs
    assert {metric.key: metric.value for metric in mlflow.get_logged_model(output.model_id).metrics} == {
        "test/eer": 0.25
    }


def test_promotion_moves_the_alias(store):
    import mlflow

    assert store.registry.name_of(store.run_id) == NAME
    assert store.registry.champion(NAME) is None
    assert store.registry.promote(store.run_id, "the first") == Version(NAME, 1, store.run_id)
    assert store.registry.champion(NAME) == Version(NAME, 1, store.run_id)
    better = store.another_run()
    assert store.registry.champion(NAME).run_id == store.run_id
    store.registry.promote(better, "EER lower")
    champion = store.registry.champion(NAME)
    assert champion == Version(NAME, 2, better)
    assert mlflow.pyfunc.load_model(f"models:/{NAME}@champion").metadata.run_id == better
    assert mlflow.pyfunc.load_model(champion.uri).metadata.run_id == better
    assert mlflow.MlflowClient().get_model_version(NAME, "2").description == "EER lower"


def test_the_checkpoint_of_a_version_is_that_of_its_run(store, tmp_path):
    found = store.registry.checkpoint(NAME, 1, tmp_path)
    assert found.is_relative_to(tmp_path)
    assert found.read_bytes() == store.checkpoint.read_bytes()
    for name, number in ((NAME, 7), ("nobody", 1)):
        with pytest.raises(LabError, match=f"models:/{name}/{number}: its detector cannot be had"):
            store.registry.checkpoint(name, number, tmp_path)


def test_a_resumed_run_is_registered_again_only_after_more_training(store):
    run_id = store.another_run()
    store.another_run(run_id=run_id)
    assert store.versions() == [(1, store.run_id), (2, run_id)]
    store.another_run(run_id=run_id, epochs=2)
    assert store.versions() == [(1, store.run_id), (2, run_id), (3, run_id)]
    assert store.registry.promote(run_id, "").number == 3


def test_a_run_can_be_promoted_that_was_not_registered(store):
    run_id = store.another_run(corpus=None, tags={"corpus": "toy"})
    assert store.versions() == [(1, store.run_id)]
    assert store.registry.name_of(run_id) == NAME
    assert store.registry.promote(run_id, "") == Version(NAME, 2, run_id)


def test_what_cannot_be_promoted_is_said(store):
    with pytest.raises(LabError, match="run=0123: not found"):
        store.registry.promote("0123", "")
    with store.tracking.run("empty") as empty:
        pass
    with pytest.raises(LabError, match=f"run={empty.id}: has left no detector"):
        store.registry.promote(empty.id, "")
    for tags in ({"control": "shuffled_labels"}, {"learned_nothing": "true"}):
        with pytest.raises(LabError, match="has learned nothing"):
            store.registry.promote(store.another_run(tags=tags), "")
    unregistered = store.another_run(corpus=None)
    store.tracking.registered_model = None
    with pytest.raises(LabError, match="registered_model is null"):
        store.registry.promote(unregistered, "")
    assert store.registry.champion(NAME) is None
    assert store.registry.champion("nobody") is None
