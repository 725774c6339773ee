"""Several corpora in one: joined by split, drawn by weight, checked across their borders."""

import math

import numpy as np
import pytest

from deepfake_lab.data import guards
from deepfake_lab.data.corpora.mix import Mix
from deepfake_lab.data.corpora.toy import Toy
from deepfake_lab.data.dataset import UtteranceDataset
from deepfake_lab.data.module import CorpusDataModule
from deepfake_lab.data.sampling import Draw
from deepfake_lab.types import LabError


class Other(Toy):
    name = "other"
    sources = ("toy", "elsewhere")


@pytest.fixture
def members(tmp_path):
    return {"a": Toy(tmp_path / "disk a" / "toy"), "b": Other(tmp_path / "disk b", utterances=36, seed=1), "c": None}


def test_joins_splits_and_keeps_attack_names_and_files_apart(tmp_path, members):
    mix = Mix(tmp_path / "mix", corpora=members)
    manifest = mix.prepare()
    assert manifest.counts() == dict.fromkeys(("train", "dev", "test"), (48, 48))
    attacks = set(manifest.table["attack"].to_pylist())
    assert attacks == {"bonafide", "toy/buzz", "toy/hum", "other/buzz", "other/hum"}
    guards.check_files(manifest)
    guards.check(manifest)
    assert mix.sources == ("elsewhere", "toy")
    for number, member in ((0, members["a"]), (len(manifest) - 1, members["b"])):
        row = manifest.table.slice(number, 1).to_pylist()[0]
        alone = member.prepare()
        at = alone.table["key"].to_pylist().index(row["key"].partition(":")[2])
        expected = UtteranceDataset(alone, 0.4)[Draw(at, 0)].wave
        np.testing.assert_array_equal(UtteranceDataset(manifest, 0.4)[Draw(number, 0)].wave, expected)


def test_a_sentence_trained_on_here_and_tested_on_there_is_refused(tmp_path, members):
    class Crossed(Other):
        def _rows(self):
            for row in super()._rows():
                row |= {"group": row["group"].replace("other/", "toy/")}
                yield {**row, "split": {"train": "test", "test": "train"}.get(row["split"], "dev")}

    mixed = Mix(tmp_path / "mix", corpora=members | {"b": Crossed(tmp_path / "crossed")}).prepare()
    with pytest.raises(LabError, match=r"groups cross splits, such as toy/t"):
        guards.check(mixed)


def test_weights_decide_the_draws_and_the_prior(tmp_path, members):
    mix = Mix(tmp_path / "mix", corpora=members, weights={"toy": 3, "other": 1})
    module = CorpusDataModule(mix, window_s=0.1, batch_size=8, num_workers=0)
    module.setup()
    corpora = np.array(module.split("train").table["corpus"].to_pylist())
    sampler = module.train_dataloader().sampler
    drawn = np.concatenate([[draw.row for draw in sampler] for epoch in range(40) if not sampler.set_epoch(epoch)])
    share = float(np.mean(corpora[drawn] == "toy"))
    assert abs(share - 0.75) < 4 * math.sqrt(0.75 * 0.25 / len(drawn))
    assert module.training_counts() == pytest.approx((48, 48))
    spoof_only = module.split("train").table["label"].to_numpy() == 1
    assert set(np.unique(drawn)) == set(range(96)), "every utterance is drawn some time"
    assert 0.45 < spoof_only[drawn].mean() < 0.55


def test_without_weights_every_utterance_is_drawn_once(tmp_path, members):
    module = CorpusDataModule(Mix(tmp_path / "mix", corpora=members), window_s=0.1, num_workers=0)
    module.setup()
    assert sorted(draw.row for draw in module.train_dataloader().sampler) == list(range(96))


def test_counts_under_weights_follow_the_classes(tmp_path, members):
    class Fakes(Other):
        def _rows(self):
            return (row for row in super()._rows() if row["label"] == 1)

    mix = Mix(tmp_path / "mix", corpora=members | {"b": Fakes(tmp_path / "fakes")}, weights={"toy": 1, "other": 1})
    module = CorpusDataModule(mix, window_s=0.1, num_workers=0)
    module.setup()
    assert module.training_counts() == pytest.approx((36 / 4, 36 * 3 / 4))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"corpora": {}}, "name at least one corpus"),
        ({"weights": {"toy": 1}}, "give each of toy, other a positive weight"),
        ({"weights": {"toy": 1, "other": 0}}, "give each of toy, other a positive weight"),
    ],
)
def test_settings_that_make_no_sense(tmp_path, members, changes, complaint):
    with pytest.raises(LabError, match=complaint):
        Mix(tmp_path, **{"corpora": members, **changes})


def test_the_same_corpus_twice(tmp_path):
    with pytest.raises(LabError, match="each of them once"):
        Mix(tmp_path, corpora={"a": Toy(tmp_path), "b": Toy(tmp_path)})


def test_a_run_on_a_mixture(lab):
    status, printed = lab(
        "run",
        "experiment=toy",
        "data=mix",
        "data@data.corpora.first=toy",
        "data.weights={toy: 2}",
        "trainer.max_epochs=1",
        "treatment=all",
        "loader.cache=cache",
    )
    assert status == 0, printed
    assert list(lab.folder.glob("cache/*/*.npy"))
