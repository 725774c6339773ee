"""What every augmentation of conf/augment must do."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hydra.utils import instantiate
from scipy.stats import ks_2samp

from deepfake_lab.augment.augmentation import Chain, UtteranceAugmentation
from deepfake_lab.types import LabError

CONF = Path(__file__).parents[2] / "conf" / "augment"
FEW = {"deepfake_lab.augment.rooms.SimulatedRooms": {"rooms": 3, "t60_s": [0.1, 0.2]}}
SAME_FOR_ALL = {"polarity"}
"""Those that draw nothing but whether."""


def configured(part):
    """Nodes of `wave` or `utterance` in all files."""
    files = (yaml.safe_load(path.read_text()) or {} for path in sorted(CONF.glob("*.yaml")))
    return {name: node for file in files for name, node in file.get(part, {}).items() if "_target_" in node}


WAVE, UTTERANCE = configured("wave"), configured("utterance")


@pytest.fixture(params=WAVE)
def name(request):
    return request.param


def on_device(name, p):
    return instantiate(WAVE[name] | {"p": p}, _convert_="all")


@pytest.fixture(params=UTTERANCE, scope="module")
def in_loader(request, noises):
    """Makes the augmentation with another probability, its recordings those of the fixture."""
    node = UTTERANCE[request.param]
    recorded = {"source": str(noises)} if ".Recorded" in node["_target_"] else {}
    made = instantiate({**node, **recorded, **FEW.get(node["_target_"], {})}, _convert_="all")

    def with_probability(p):
        made.p = p
        return made

    return with_probability


def test_all_files_are_found():
    assert {"noise", "rawboost", "equaliser", "shift", "speed"} <= set(WAVE)
    assert {"rooms", "rirs", "demand", "codec"} <= set(UTTERANCE)


class TestOnDevice:
    def test_disturbs_every_row_or_none_and_leaves_its_input_alone(self, name, voice):
        batch = voice * torch.tensor([[1.0], [1e-3], [20.0], [0.0]])
        before = batch.clone()
        torch.manual_seed(1)  # which draws no speed of 100 %
        assert torch.equal(on_device(name, 0)(batch), before)
        after = on_device(name, 1)(batch)
        assert torch.equal(batch, before)
        assert (after.shape, after.dtype) == (batch.shape, torch.float32)
        assert after.isfinite().all()
        assert not after[3].any()
        assert (after[:3] != batch[:3]).any(dim=1).all()

    @pytest.mark.parametrize("shape", [(1, 1), (2, 37), (1, 64_601)])
    def test_takes_any_shape(self, name, shape):
        after = on_device(name, 1)(torch.rand(shape))
        assert after.shape == shape
        assert after.isfinite().all()

    def test_rows_are_treated_alike_wherever_they_are_and_each_by_its_own_draws(self, name, voice):
        batch = voice[:500].repeat(2_000, 1)
        torch.manual_seed(0)
        after = on_device(name, 0.5)(batch)
        touched = (after != batch).any(dim=1)
        assert 900 < touched.sum() < 1_100
        if name in SAME_FOR_ALL:
            return
        least = 30 if name == "speed" else 0.3 * touched.sum()  # there are only so many speeds, and shifts
        assert len(torch.unique(after[touched], dim=0)) > least
        change = (after - batch).square().mean(dim=1)
        assert change[touched].std() > 0.1 * change[touched].mean()
        place = torch.arange(2_000)
        for half in (place < 1_000, place % 2 == 0, place % 32 < 16):
            assert ks_2samp(change[half], change[~half]).pvalue > 1e-3

    def test_a_chain_is_one_after_another_and_leaves_its_input_alone(self, voice):
        batch = voice.repeat(16, 1)
        parts = [on_device(name, 0.5) for name in WAVE]
        torch.manual_seed(0)
        chained = Chain(*parts)(batch)
        assert torch.equal(batch, voice.repeat(16, 1))
        torch.manual_seed(0)
        after = batch
        for part in parts:
            after = part(after)
        assert torch.equal(chained, after)
        assert (after != batch).any(dim=1).all()

    def test_is_what_the_seed_says(self, name, voice):
        def drawn(seed):
            torch.manual_seed(seed)
            return on_device(name, 0.5)(voice.repeat(16, 1))

        assert torch.equal(drawn(1), drawn(1))
        assert not torch.equal(drawn(1), drawn(2))


class TestInLoader:
    def test_disturbs_every_utterance_or_none_and_leaves_its_input_alone(self, in_loader, voice):
        wave = voice.numpy()
        wave.flags.writeable = False
        assert in_loader(0)(wave, np.random.default_rng(0)) is wave
        after, silent = (in_loader(1)(heard, np.random.default_rng(0)) for heard in (wave, np.zeros_like(wave)))
        assert (after != wave).any()
        for made in (after, silent):
            assert (made.shape, made.dtype) == (wave.shape, np.float32)
            assert np.isfinite(made).all()

    def test_is_what_the_draw_says(self, in_loader, voice):
        def drawn(seed):
            draw = np.random.default_rng(seed)
            return np.stack([in_loader(0.5)(voice.numpy(), draw) for _ in range(8)])

        np.testing.assert_array_equal(drawn(1), drawn(1))
        assert (drawn(1) != drawn(2)).any()


class Flag(UtteranceAugmentation):
    """Says whether it was there."""

    def augmented(self, wave, draw):
        return wave + 1


def test_probability_is_how_often():
    draw = np.random.default_rng(0)
    mean = np.mean([Flag(0.3)(np.zeros(1, np.float32), draw) for _ in range(2_000)])
    assert mean == pytest.approx(0.3, abs=0.04)


@pytest.mark.parametrize(
    ("name", "setting", "complaint"),
    [
        ("noise", {"p": 1.5}, "p=1.5"),
        ("noise", {"snr_db": [20, 10]}, r"snr_db=\[20, 10\].*in order"),
        ("noise", {"snr_db": [20]}, "two numbers"),
        ("clipping", {"below_peak_db": [-1, 3]}, "between 0 and inf"),
        ("band_limit", {"high_hz": [300, 9_000]}, "between 400 and 8000"),
        ("shift", {"share": 0}, "share=0"),
        ("rawboost", {"algorithm": 6}, "algorithm=6"),
        ("speed", {"factor": [0.1, 1]}, "between 0.5 and 2"),
        ("rooms", {"rooms": 0}, "rooms=0"),
        ("codec", {"p": -1}, "p=-1"),
        ("recorded_noise", {"source": "nowhere"}, "source=nowhere: no such folder"),
    ],
)
def test_senseless_settings_are_refused(name, setting, complaint):
    with pytest.raises(Exception, match=complaint) as refused:
        instantiate((WAVE | UTTERANCE)[name] | setting, _convert_="all")
    assert isinstance(refused.value.__cause__, LabError)
