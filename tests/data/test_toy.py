"""The corpus of generated signals."""

import hashlib
import threading

import numpy as np
import pytest
import soundfile

from deepfake_lab.data import guards
from deepfake_lab.data.corpora.toy import Toy
from deepfake_lab.data.manifest import Manifest


def contents(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.flac")}


def test_is_a_sound_corpus_with_a_system_that_occurs_in_test_alone(tmp_path):
    manifest = Toy(tmp_path).prepare()
    guards.check_files(manifest)
    assert [finding.code for finding in guards.check(manifest)] == ["small_corpus"]
    assert manifest.counts() == {"train": (12, 12), "dev": (12, 12), "test": (12, 12)}
    attacks = {name: set(manifest.split(name).table["attack"].to_pylist()) for name in ("train", "dev", "test")}
    assert attacks["train"] == attacks["dev"] == {"bonafide", "toy/buzz"}
    assert attacks["test"] == {"bonafide", "toy/buzz", "toy/hum"}
    for row in manifest.table.to_pylist():
        wave, rate = soundfile.read(tmp_path / row["path"])
        assert (len(wave), rate, wave.ndim) == (row["frames"], row["sample_rate"], row["channels"])
        assert 0.19 < np.abs(wave).max() < 0.61


def test_same_seed_same_bytes(tmp_path):
    made = [Toy(tmp_path / name, utterances=2, seed=seed) for name, seed in (("a", 5), ("b", 5), ("c", 6))]
    digests = [corpus.prepare().digest for corpus in made]
    assert contents(made[0].root) == contents(made[1].root)
    assert digests[0] == digests[1]
    assert not set(contents(made[0].root).values()) & set(contents(made[2].root).values())


def test_is_prepared_once_unless_forced(tmp_path):
    corpus = Toy(tmp_path, utterances=2)
    corpus.prepare()
    before = contents(tmp_path)
    (tmp_path / "dev-000-buzz.flac").write_bytes(b"damaged")
    corpus.prepare()
    assert contents(tmp_path) != before
    corpus.prepare(force=True)
    assert contents(tmp_path) == before
    assert not list(tmp_path.glob(".*"))


def test_making_it_again_disturbs_nobody_who_reads_it(tmp_path):
    corpus = Toy(tmp_path, utterances=2)
    manifest = corpus.prepare()
    maker = threading.Thread(target=lambda: [corpus.build(force=True) for _ in range(5)])
    maker.start()
    while maker.is_alive():
        for path in manifest.table["path"].to_pylist():
            assert soundfile.info(tmp_path / path).frames == corpus.samples
    maker.join()


@pytest.mark.parametrize("shuffle", [False, True])
def test_manifest_on_disk_holds_the_true_labels(tmp_path, shuffle):
    corpus = Toy(tmp_path, utterances=2, shuffle_labels=shuffle)
    corpus.prepare()
    for row in Manifest.read(corpus.manifest_path, tmp_path).table.to_pylist():
        assert row["label"] == ("bonafide" not in row["key"])
