"""Utterances to batches: which part of which file, in which order, for which epoch."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import soundfile
import torch

from deepfake_lab.audio import AudioError, fit_length
from deepfake_lab.data.corpora.toy import Toy
from deepfake_lab.data.dataset import UtteranceDataset
from deepfake_lab.data.manifest import NO_ATTACK, Manifest
from deepfake_lab.data.module import CorpusDataModule
from deepfake_lab.data.sampling import Draw, EpochSampler
from deepfake_lab.types import LabError

LENGTH = 50_000
SEGMENTS = ((0, 3_000), (3_000, 20_000), (23_000, 500), (40_000, 10_000), (49_999, 1))


@pytest.fixture(scope="module")
def ramp(tmp_path_factory):
    """Segments of one file at 16 kHz whose samples are their own numbers, so that a crop tells where it is from."""
    root = tmp_path_factory.mktemp("ramp")
    soundfile.write(root / "ramp.wav", np.arange(LENGTH, dtype=np.float32), 16_000, subtype="FLOAT")
    rows = [
        {
            "key": f"u{number}",
            "path": "ramp.wav",
            "start": start,
            "frames": frames,
            "sample_rate": 16_000,
            "channels": 1,
            "label": number % 2,
            "attack": "lab/a1" if number % 2 else NO_ATTACK,
            "speaker": "s",
            "group": f"g{number}",
            "split": "train",
            "corpus": "lab",
        }
        for number, (start, frames) in enumerate(SEGMENTS)
    ]
    return Manifest.from_rows(rows, root, "ramp")


def hiss(wave, draw):
    """An augmentation."""
    return wave + draw.uniform(-0.4, 0.4, len(wave)).astype(np.float32)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Folder of the toy corpus."""
    corpus = Toy(tmp_path_factory.mktemp("toy"))
    corpus.prepare()
    return corpus.root


def crops(manifest, *, random_crop=True, seed=0, window_s=0.1):
    return UtteranceDataset(manifest, window_s, crop="random" if random_crop else "first", seed=seed)


class TestWindows:
    def test_evaluation_takes_the_first_and_repeats_what_is_short(self, ramp):
        dataset = crops(ramp, random_crop=False)
        for row, (start, frames) in enumerate(SEGMENTS):
            for epoch in (0, 1):
                trial = dataset[Draw(row, epoch)]
                np.testing.assert_array_equal(trial.wave, start + np.arange(1_600) % frames)
                assert (trial.label, trial.row, trial.key) == (row % 2, row, f"u{row}")

    def test_training_crops_lie_inside_their_segment(self, ramp):
        dataset = crops(ramp)
        for row, (start, frames) in enumerate(SEGMENTS):
            for epoch in range(50):
                wave = dataset[Draw(row, epoch)].wave
                assert wave.shape == (1_600,)
                assert start <= wave.min()
                assert wave.max() < start + frames
                if frames >= 1_600:
                    np.testing.assert_array_equal(wave, wave[0] + np.arange(1_600))

    def test_training_crops_spread_evenly_from_the_first_to_the_last_place(self, ramp):
        places = np.array([crops(ramp)[Draw(1, epoch)].wave[0] for epoch in range(400)]) - 3_000
        counts, _ = np.histogram(places, bins=4, range=(0, 20_000 - 1_600))
        assert counts.min() > 70  # of 100 expected: 3.5 standard deviations
        exact = crops(ramp, window_s=2_999 / 16_000)
        assert {float(exact[Draw(0, epoch)].wave[0]) for epoch in range(30)} == {0.0, 1.0}

    def test_depend_on_seed_epoch_and_row_alone(self, ramp):
        def place(row, epoch, seed):
            return crops(ramp, seed=seed)[Draw(row, epoch)].wave[0]

        assert place(1, 3, 7) == place(1, 3, 7)
        assert len({place(1, 3, 7), place(1, 4, 7), place(1, 3, 8)}) == 3
        other_rows = Manifest(ramp.table.take([3, 1]), ramp.root, "ramp")
        assert crops(other_rows, seed=7)[Draw(1, 3)].wave[0] == place(1, 3, 7)

    @pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 48_000])
    def test_have_the_same_length_at_every_rate(self, tmp_path, ramp, rate):
        soundfile.write(tmp_path / "a.flac", np.zeros(rate), rate)
        row = ramp.table.to_pylist()[0] | {"path": "a.flac", "sample_rate": rate, "frames": rate}
        dataset = crops(Manifest.from_rows([row], tmp_path, "one"), window_s=0.33)
        assert {dataset[Draw(0, epoch)].wave.shape for epoch in range(5)} == {(5_280,)}

    def test_a_file_that_has_become_shorter_is_not_padded_in_silence(self, tmp_path, ramp):
        soundfile.write(tmp_path / "ramp.wav", np.zeros(21_000), 16_000)
        dataset = crops(Manifest(ramp.table, tmp_path, "ramp"), random_crop=False, window_s=2.0)
        assert dataset[Draw(0, 0)].wave.shape == (32_000,)
        with pytest.raises(LabError, match=r"ramp\.wav: ends before sample 23000.*force=true"):
            dataset[Draw(1, 0)]
        with pytest.raises(AudioError, match="holds no audio from sample 40000 on"):
            dataset[Draw(3, 0)]


class TestConfiguration:
    def test_the_middle(self, ramp):
        dataset = UtteranceDataset(ramp, 0.1, crop="center")
        for row, (start, frames) in enumerate(SEGMENTS):
            if frames > 1_600:
                assert dataset[Draw(row, 0)].wave[0] == start + (frames - 1_600) // 2

    def test_quiet_edges_are_left_out_where_asked(self, ramp):
        table = ramp.table
        speech = {"speech_start": [100, 5_000, 23_000, 41_000, 49_999], "speech_frames": [50, 4_000, 9, 9_000, 1]}
        for column, values in speech.items():
            table = table.set_column(table.column_names.index(column), column, pa.array(values, pa.int64()))
        manifest = replace(ramp, table=table)
        first = [UtteranceDataset(manifest, 0.1, trim=True)[Draw(row, 0)].wave for row in range(len(SEGMENTS))]
        assert [wave[0] for wave in first] == [100, 5_000, 23_000, 41_000, 49_999]
        np.testing.assert_array_equal(first[0], np.tile(np.arange(100, 150, dtype=np.float32), 32))
        drawn = [UtteranceDataset(manifest, 0.1, trim=True, crop="random")[Draw(1, epoch)].wave for epoch in range(50)]
        assert all(5_000 <= wave[0] <= 9_000 - 1_600 for wave in drawn)

    @pytest.mark.parametrize(
        ("padding", "expected"),
        [("repeat", [0, 1, 2, 0, 1, 2, 0]), ("reflect", [0, 1, 2, 2, 1, 0, 0]), ("zeros", [0, 1, 2, 0, 0, 0, 0])],
    )
    def test_what_is_short_is_padded(self, padding, expected):
        np.testing.assert_array_equal(fit_length(np.arange(3, dtype=np.float32), 7, padding), expected)

    def test_the_module_passes_it_on(self, toy):
        settings = {"train_crop": "center", "eval_crop": "random", "padding": "zeros", "trim": True}
        module = CorpusDataModule(Toy(toy), num_workers=0, **settings)
        module.setup()
        train, dev = module.train_dataloader().dataset, module.val_dataloader().dataset
        assert (train.crop, dev.crop, train.padding, dev.padding) == ("center", "random", "zeros", "zeros")
        np.testing.assert_array_equal(train._begin, module.split("train").table["speech_start"].to_numpy())


class TestAugmentation:
    def added(self, manifest, row=1, epoch=3, visit=0, seed=7):
        """Window of a trial, and what was added to it."""
        wave = UtteranceDataset(manifest, 0.1, crop="random", seed=seed, augment=[hiss])[Draw(row, epoch, visit)].wave
        return wave.round(), wave - wave.round()

    def test_depends_on_seed_epoch_and_row_alone_and_neither_on_the_crop_nor_on_the_class(self, ramp):
        window, noise = self.added(ramp)
        np.testing.assert_array_equal(window, crops(ramp, seed=7)[Draw(1, 3)].wave)
        column = ramp.table.column_names.index("label")
        other_class = ramp.table.set_column(column, "label", pa.array([1, 0, 1, 0, 1], pa.int8()))
        for manifest in (ramp, Manifest(other_class, ramp.root, "ramp")):
            np.testing.assert_array_equal(self.added(manifest)[1], noise)
        for changed in ({"row": 0}, {"epoch": 4}, {"visit": 1}, {"seed": 8}):
            assert abs(np.corrcoef(self.added(ramp, **changed)[1], noise)[0, 1]) < 0.2

    def test_is_done_in_order(self, ramp):
        steps = [lambda wave, draw: 0 * wave, lambda wave, draw: wave + 1]
        assert UtteranceDataset(ramp, 0.1, augment=steps)[Draw(1, 0)].wave.tolist() == [1.0] * 1_600


def test_a_batch_is_a_rectangle_of_documented_types_that_holds_its_trials(toy):
    dataset = UtteranceDataset(Toy(toy).prepare(), 0.3, crop="random", seed=1)
    draws = [Draw(5, 2), Draw(0, 2), Draw(40, 2)]
    batch = dataset.__getitems__(draws)
    assert (batch.wave.dtype, batch.label.dtype, batch.row.dtype) == (torch.float32, torch.int64, torch.int64)
    for number, trial in enumerate(dataset[draw] for draw in draws):
        np.testing.assert_array_equal(batch.wave[number].numpy(), trial.wave)
        assert (batch.label[number], batch.row[number], batch.key[number]) == (trial.label, trial.row, trial.key)


class TestOrder:
    def test_every_utterance_once_an_epoch(self):
        sampler = EpochSampler(50, seed=3, shuffle=True)
        orders = []
        for epoch in range(3):
            sampler.set_epoch(epoch)
            draws = list(sampler)
            assert {draw.epoch for draw in draws} == {epoch}
            orders.append([draw.row for draw in draws])
            assert sorted(orders[-1]) == list(range(50))
        assert len(sampler) == 50
        assert all(one != other for one, other in pairwise([list(range(50)), *orders]))

    def test_depends_on_seed_and_epoch_alone(self):
        def order(seed, epoch):
            sampler = EpochSampler(50, seed, shuffle=True)
            sampler.set_epoch(epoch)
            return list(sampler)

        assert order(1, 2) == order(1, 2)
        assert order(1, 2) != order(2, 2)

    def test_visits_are_counted_within_an_epoch(self):
        sampler = EpochSampler(3, 1, shuffle=True, shares=np.array([0.5, 0.5, 0]))
        for epoch in (0, 1):
            sampler.set_epoch(epoch)
            assert len(set(sampler)) == 3
            assert {draw.visit for draw in sampler} >= {0, 1}

    def test_evaluation_keeps_the_manifests(self):
        assert [draw.row for draw in EpochSampler(7, seed=3, shuffle=False)] == list(range(7))


class TestModule:
    def module(self, root, *, workers=0, **settings):
        made = CorpusDataModule(
            Toy(root, **settings), window_s=0.1, batch_size=7, num_workers=workers, seed=5, augment={"hiss": hiss}
        )
        made.prepare_data()
        made.setup()
        return made

    def test_batches_do_not_depend_on_the_number_of_workers(self, toy):
        def epochs(workers):
            loader = self.module(toy, workers=workers).train_dataloader()
            for epoch in (0, 1):
                loader.sampler.set_epoch(epoch)
                yield list(loader)

        alone, together = list(epochs(0)), list(epochs(2))
        for one, other in zip(alone, together, strict=True):
            for a, b in zip(one, other, strict=True):
                assert a.key == b.key
                for name in ("wave", "label", "row"):
                    assert torch.equal(getattr(a, name), getattr(b, name))
        assert [batch.key for batch in alone[0]] != [batch.key for batch in alone[1]]
        assert self.module(toy).train_dataloader().dataset.augment == (hiss,)

    def test_training_batches_are_full_and_evaluation_hears_every_trial(self, toy):
        module = self.module(toy)
        assert [len(batch.label) for batch in module.train_dataloader()] == [7, 7, 7]
        for name, loader in (("dev", module.val_dataloader()), ("test", module.test_dataloader())):
            batches = list(loader)
            table = module.split(name).table
            assert [batch.wave.shape for batch in batches] == [(7, 1_600)] * 3 + [(3, 1_600)]
            assert torch.cat([batch.row for batch in batches]).tolist() == list(range(24))
            assert [key for batch in batches for key in batch.key] == table["key"].to_pylist()
            assert torch.cat([batch.label for batch in batches]).tolist() == table["label"].to_pylist()
            whole, _ = soundfile.read(toy / table["path"][0].as_py(), dtype="float32")
            torch.testing.assert_close(batches[0].wave[0], torch.from_numpy(fit_length(whole, 1_600)))

    def test_a_batch_larger_than_the_corpus_is_served(self, toy):
        module = CorpusDataModule(Toy(toy), window_s=0.1, batch_size=100, num_workers=0)
        module.setup()
        assert [len(batch.label) for batch in module.train_dataloader()] == [24]

    def test_control_permutes_labels_by_the_seed(self, toy):
        true, shuffled = self.module(toy), self.module(toy, shuffle_labels=True)
        assert shuffled.manifest.digest == true.manifest.with_shuffled_labels(5).digest
        assert shuffled.findings == true.findings

    def test_meaningless_data_is_refused_at_setup(self, tmp_path):
        with pytest.raises(LabError, match="fewer than 10"):
            self.module(tmp_path, utterances=4)

    def test_missing_audio_is_refused_at_setup(self, tmp_path):
        Toy(tmp_path).prepare()
        (tmp_path / "train-001-buzz.flac").unlink()
        with pytest.raises(LabError, match=r"1 of 72 audio files are missing, such as train-001-buzz\.flac"):
            self.module(tmp_path)

    def test_an_error_in_a_worker_process_reaches_the_parent_as_what_it_is(self, tmp_path):
        module = self.module(tmp_path, workers=2)
        (tmp_path / "dev-001-buzz.flac").write_bytes(b"fLaC")
        with pytest.raises(AudioError, match=r"dev-001-buzz\.flac: cannot be decoded \(4 bytes"):
            list(module.val_dataloader())
