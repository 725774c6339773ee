"""Corpora from which nothing can be learnt or measured are refused; misleading ones are flagged."""

from pathlib import Path

import pytest

from deepfake_lab.data import guards
from deepfake_lab.data.manifest import NO_ATTACK, Manifest
from deepfake_lab.types import LabError

GOOD = {"train": (30, 30), "dev": (10, 10), "test": (10, 10)}


def corpus(counts=GOOD, root=Path("root"), **columns):
    """A manifest of so many (bona fide, spoof) utterances a split; `columns` make a value out of split and number."""
    rows = []
    for split, pair in counts.items():
        for label, count in enumerate(pair):
            for number in range(count):
                made = {name: make(split, number) for name, make in columns.items()}
                rows.append(
                    {
                        "key": f"{split}{label}-{number}",
                        "path": f"{split}/{label}/{number}.wav",
                        "frames": 16_000,
                        "sample_rate": 16_000,
                        "channels": 1,
                        "label": label,
                        "attack": "lab/a1" if label else NO_ATTACK,
                        "speaker": split,
                        "group": f"{split}-{number}",
                        "split": split,
                        "corpus": "lab",
                        **made,
                    }
                )
    return Manifest.from_rows(rows, root, "lab.parquet")


def refusal(manifest):
    with pytest.raises(LabError) as caught:
        guards.check(manifest)
    assert str(caught.value).startswith("lab.parquet: ")
    return str(caught.value)


def codes(manifest):
    return [finding.code for finding in guards.check(manifest)]


class TestRefusals:
    @pytest.mark.parametrize(("lacking", "present"), [("spoof", "bonafide"), ("bonafide", "spoof")])
    @pytest.mark.parametrize("splits", [("train", "dev", "test"), ("train",), ("test",)])
    def test_a_corpus_of_one_class_lacks_the_other(self, lacking, present, splits):
        counts = {split: (50, 0) if lacking == "spoof" else (0, 50) for split in splits}
        message = refusal(corpus(counts))
        assert f"the corpus holds no {lacking} utterance ({50 * len(splits)} {present})" in message
        assert "data=openprompts" in message

    @pytest.mark.parametrize("split", GOOD)
    @pytest.mark.parametrize(("label", "name"), [(0, "bonafide"), (1, "spoof")])
    def test_a_split_of_one_class(self, split, label, name):
        counts = GOOD | {split: (0, 40) if label == 0 else (40, 0)}
        assert f"the {split} split holds no {name} utterance" in refusal(corpus(counts))

    @pytest.mark.parametrize("split", ["dev", "test"])
    def test_fewer_than_ten_trials_to_measure_on(self, split):
        assert f"the {split} split holds 9 spoof trials, fewer than 10" in refusal(corpus(GOOD | {split: (10, 9)}))

    def test_a_small_train_split_may_be(self):
        assert codes(corpus(GOOD | {"train": (2, 2)})) == ["small_corpus"]

    def test_no_rows(self):
        assert "holds no bonafide utterance (0 spoof)" in refusal(corpus({}))

    def test_groups_that_cross_splits(self):
        message = refusal(corpus(group=lambda split, number: f"sentence{number}" if number < 2 else f"{split}{number}"))
        assert "2 groups cross splits, such as sentence0, sentence1" in message


class TestFindings:
    def test_a_small_corpus(self):
        (finding,) = guards.check(corpus())
        assert finding.code == "small_corpus"
        assert "100 labelled utterances, fewer than 10,000" in finding.text

    def test_nothing_to_say_of_a_large_balanced_one(self):
        assert guards.check(corpus(GOOD | {"train": (5_000, 5_000)})) == []

    @pytest.mark.parametrize(
        ("pair", "flagged"), [((59, 41), False), ((61, 39), True), ((40, 60), False), ((39, 61), True)]
    )
    def test_far_from_half_fake(self, pair, flagged):
        assert ("unbalanced" in codes(corpus(GOOD | {"train": pair}))) is flagged

    def test_speakers_of_several_splits(self):
        findings = guards.check(corpus(speaker=lambda split, number: "anna" if number == 0 else split))
        assert [finding.code for finding in findings] == ["small_corpus", "shared_speakers"]
        assert "1 speakers occur in several splits (anna)" in findings[1].text

    def test_unknown_speakers_are_not_one_person(self):
        assert codes(corpus(speaker=lambda split, number: "-")) == ["small_corpus"]

    def test_shuffled_labels_find_the_same(self):
        manifest = corpus(GOOD | {"train": (90, 10)}, speaker=lambda split, number: "anna")
        assert guards.check(manifest.with_shuffled_labels(0)) == guards.check(manifest)


class TestFiles:
    @pytest.fixture
    def on_disk(self, tmp_path):
        manifest = corpus(root=tmp_path)
        for path in manifest.table["path"].to_pylist():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).touch()
        return manifest

    def refusal(self, manifest):
        with pytest.raises(LabError) as caught:
            guards.check_files(manifest)
        return str(caught.value)

    def test_all_there(self, on_disk):
        guards.check_files(on_disk)

    def test_missing_ones_are_counted_and_named(self, on_disk, tmp_path):
        for name in ("train/1/7.wav", "dev/0/3.wav"):
            (tmp_path / name).unlink()
        message = self.refusal(on_disk)
        assert f"{tmp_path}: 2 of 100 audio files are missing, such as dev/0/3.wav, train/1/7.wav. " in message
        assert "data.root" in message

    def test_a_whole_folder(self, on_disk, tmp_path):
        (tmp_path / "train").rename(tmp_path / "elsewhere")
        assert (
            "60 of 100 audio files are missing, such as train/0/0.wav, train/0/1.wav, train/0/10.wav. "
            in self.refusal(on_disk)
        )

    def test_files_count_once_however_many_utterances_they_hold(self, tmp_path):
        manifest = corpus(root=tmp_path, path=lambda split, number: f"{split}.wav")
        (tmp_path / "dev.wav").touch()
        assert "2 of 3 audio files are missing, such as test.wav, train.wav. " in self.refusal(manifest)
