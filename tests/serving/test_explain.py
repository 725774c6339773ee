"""Attributions add up to the score, lie where the cue is, and are of the weights; pictures come out of predict."""

import copy
import functools

import matplotlib.image
import numpy as np
import pytest
import soundfile
import torch
from scipy.stats import spearmanr

from deepfake_lab.frontends.cqt import Cqt
from deepfake_lab.frontends.mel import Mel
from deepfake_lab.frontends.mfcc import Mfcc
from deepfake_lab.frontends.post import Post
from deepfake_lab.frontends.raw import Raw
from deepfake_lab.frontends.stack import Stack
from deepfake_lab.models.aasist import AASIST
from deepfake_lab.models.attention_crnn import AttentionCRNN, attention
from deepfake_lab.models.crnn import CRNN
from deepfake_lab.models.detector import Detector
from deepfake_lab.models.encoder import Encoder
from deepfake_lab.models.ensemble import Ensemble
from deepfake_lab.serving.attribution import attribute
from deepfake_lab.serving.decoding import Recording
from deepfake_lab.serving.explain import Explainer
from deepfake_lab.serving.judge import Judge
from deepfake_lab.types import LabError

TONE_HZ, BURST_S = 2_000, (1.2, 1.3)
SMALL = {"widths": (8, 8, 16, 16), "hidden": 16, "embedding_dim": 16, "dropout": 0.0}
ENCODER = functools.partial(AttentionCRNN, **SMALL, attention_dim=16)


def toy(count, seed, faint=0.03):
    """Noise that swells, and a faint tone, of 2 s; in every second one, the fakes, a burst of that tone."""
    draw = torch.Generator().manual_seed(seed)
    time = torch.arange(32_000) / 16_000
    swell = 0.2 + 0.8 * torch.rand(count, 8, generator=draw).repeat_interleave(4_000, dim=1)
    fake = torch.arange(count) % 2 == 1
    inside = (time >= BURST_S[0]) & (time < BURST_S[1])
    tone = faint * torch.rand(count, 1, generator=draw) + 0.1 * (fake[:, None] & inside)
    noise = 0.1 * swell * torch.randn(count, 32_000, generator=draw)
    return noise + tone * torch.sin(2 * torch.pi * TONE_HZ * time), fake


@pytest.fixture(scope="module")
def trained():
    """A detector that has learnt to hear the burst."""
    torch.manual_seed(0)
    detector = Detector(Mel(bins=32), ENCODER, window_s=2.0).train()
    optimizer = torch.optim.Adam(detector.parameters(), 3e-3)
    for step in range(60):
        wave, fake = toy(16, step)
        optimizer.zero_grad()
        torch.nn.functional.soft_margin_loss(detector(wave).raw_score, 1.0 - 2.0 * fake).backward()
        optimizer.step()
    detector.calibrate(1.5, 0.5)
    return detector.eval()


@pytest.fixture(scope="module")
def through_the_wave(trained):
    """The same, but that its features no longer say which frequencies they are of."""
    detector = Detector(Stack({"mel": Mel(bins=32)}), ENCODER, window_s=2.0).eval()
    detector.load_state_dict(trained.state_dict())
    return detector


@pytest.fixture(scope="module")
def both(trained, through_the_wave):
    ensemble = Ensemble([trained, through_the_wave]).eval()
    ensemble.set_weights([0.3, 0.9], offset=0.2)
    ensemble.calibrate(0.7, -0.1)
    return ensemble


@pytest.fixture(params=["trained", "through_the_wave", "both"])
def any_detector(request):
    return request.getfixturevalue(request.param)


def test_parts_add_up_to_the_score(any_detector):
    wave, _ = toy(2, seed=999, faint=0)
    found = attribute(any_detector, wave, steps=64)
    with torch.inference_mode():
        torch.testing.assert_close(found.score, any_detector(wave).score, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found.parts.sum(dim=(1, 2)), found.score - found.baseline, rtol=0.05, atol=0.1)
    assert (found.score - found.baseline)[1] < -3


class Filters(Encoder):
    """Power of filtered waveforms. AASIST, whose graphs keep the best nodes, jumps, and no gradient knows of that."""

    embedding_dim = 8

    def __init__(self, channels, bins):
        super().__init__()
        self.filters = torch.nn.Conv1d(channels * bins, self.embedding_dim, 65, padding=32)

    def forward(self, features):
        return self.filters(features.flatten(1, 2)).square().mean(dim=-1)


@pytest.mark.parametrize(
    ("frontend", "encoder", "bins"),
    [
        (Mel(bins=24, post=Post(deltas=2, cmvn="mean")), CRNN, 24),
        (Cqt(), ENCODER, 84),
        (Mfcc(), ENCODER, 257),
        (Raw(), Filters, 257),
    ],
    ids=["deltas", "cqt", "cepstra", "waveform"],
)
def test_every_kind_of_frontend_is_explained(frontend, encoder, bins):
    torch.manual_seed(0)
    detector = Detector(frontend, encoder, window_s=0.2).eval()
    wave = toy(2, seed=0)[0][:, 18_000:21_200]
    found = attribute(detector, wave, batch_size=8)
    assert found.parts.shape == (2, bins, 3_200 // found.hop + (bins == 257))
    assert len(found.frequencies) == bins
    lost = (found.score - found.baseline - found.parts.sum(dim=(1, 2))).abs()
    assert (lost < 0.02 * found.parts.abs().sum(dim=(1, 2))).all()
    assert (found.attention is None) == (encoder is not ENCODER)
    if found.attention is not None:
        torch.testing.assert_close(found.attention.sum(dim=1), torch.ones(2))


def test_a_network_that_jumps_is_explained_too():
    torch.manual_seed(0)
    detector = Detector(Raw(), functools.partial(AASIST, widths=(8,) * 6, graph_dim=8), window_s=0.2).eval()
    wave = toy(2, seed=0)[0][:, 18_000:21_200]
    found = attribute(detector, wave, batch_size=8)
    assert found.parts.shape == (2, 257, 3_200 // found.hop + 1)
    assert found.parts.isfinite().all()
    assert found.parts.abs().sum() > 0
    with torch.inference_mode():
        torch.testing.assert_close(found.score, detector(wave).score, rtol=1e-3, atol=1e-3)


def inside(found):
    """Where the burst is, and as much around it as frames are wide ``(F, L)``."""
    time = found.hop * torch.arange(found.parts.shape[-1]) / 16_000
    near = (time > BURST_S[0] - 0.03) & (time < BURST_S[1] + 0.03)
    return ((found.frequencies - TONE_HZ).abs() < 400)[:, None] & near


def test_what_speaks_for_a_fake_lies_where_the_cue_is(any_detector):
    wave, fake = toy(4, seed=999, faint=0)
    found = attribute(any_detector, wave)
    assert (found.score[fake] < -2).all()
    assert (found.baseline[fake] > 2).all(), "all the time, the tone tells nothing"
    assert inside(found).float().mean() < 0.02
    against = found.parts[fake].clamp(max=0)
    assert (against * inside(found)).sum() < 0.5 * against.sum(), "more than half of it is negative there"
    assert (found.parts[fake] * inside(found)).sum() < 0.7 * found.parts[fake].sum()
    assert found.attention is not None
    time = found.hop * torch.arange(found.parts.shape[-1]) / 16_000
    heard = found.attention[fake][:, (time > BURST_S[0] - 0.1) & (time < BURST_S[1] + 0.1)]
    assert heard.sum(dim=1).mean() > 0.5


def test_parts_change_with_the_weights_layer_by_layer(trained):
    """The sanity check of Adebayo et al., NeurIPS 2018: what stays when weights are random is not about the detector.

    The toy leaves one direction in the embedding, which a random head and layer below it still follow, either way.
    """
    wave = toy(4, seed=999, faint=0)[0][1::2]
    before = attribute(trained, wave).parts
    bounds = {"head": 0.95, "embed": 0.75, "rate": 0.75, "recurrent": 0.5, "convolutions": 0.1}
    ranks = {name: [] for name in bounds}
    for seed in range(4):
        torch.manual_seed(seed)
        random = copy.deepcopy(trained)
        for name in bounds:
            for layer in (random.head if name == "head" else getattr(random.encoder, name)).modules():
                if hasattr(layer, "reset_parameters"):
                    layer.reset_parameters()
            after = attribute(random, wave).parts
            ranks[name] += [abs(spearmanr(*pair)[0]) for pair in zip(before.flatten(1), after.flatten(1), strict=True)]
    assert {name: bool(np.mean(ranks[name]) < bound) for name, bound in bounds.items()} == dict.fromkeys(bounds, True)


def test_members_are_weighed_on_common_bins_and_frames(trained, through_the_wave, both):
    wave, _ = toy(2, seed=5)
    found = attribute(both, wave)
    assert found.parts.shape == (2, 257, 251)
    alone = [attribute(member, wave) for member in (trained, through_the_wave)]
    sums = [0.7 * weight * one.parts.sum(dim=(1, 2)) for weight, one in zip((0.3, 0.9), alone, strict=True)]
    torch.testing.assert_close(found.parts.sum(dim=(1, 2)), sums[0] + sums[1], rtol=1e-4, atol=1e-4)
    same = Ensemble([trained, copy.deepcopy(trained)]).eval()
    torch.testing.assert_close(attribute(same, wave).parts, alone[0].parts)


def test_a_member_of_shorter_windows_is_explained_by_what_it_hears(trained):
    torch.manual_seed(0)
    short = Detector(Mel(bins=32), ENCODER, window_s=1.0).eval()
    wave, _ = toy(2, seed=5)
    ensemble = Ensemble([trained, short]).eval()
    ensemble.set_weights([0.0, 1.0])
    found = attribute(ensemble, wave)
    assert found.parts[..., 126:].abs().max() == 0
    torch.testing.assert_close(found.parts.sum(dim=(1, 2)), attribute(short, wave[:, :16_000]).parts.sum(dim=(1, 2)))


class TestExplainer:
    @pytest.fixture
    def recording(self, tmp_path, speech):
        def made(seconds):
            soundfile.write(tmp_path / f"{seconds}.wav", speech(seconds), 16_000, subtype="FLOAT")
            return Recording(tmp_path / f"{seconds}.wav", "a.wav")

        return made

    def test_explains_what_was_judged(self, trained, recording, speech):
        judge = Judge(trained, batch_size=2)
        found, judgement = Explainer(judge, steps=64)(recording(5.27)), judge(recording(5.27))
        assert found.windows == judgement.windows == 3
        assert found.score == pytest.approx(judgement.score, abs=1e-3)
        assert abs(found.missing) < 0.03 * np.abs(found.attribution).sum()
        assert found.attribution.shape == (32, 264)
        np.testing.assert_allclose(found.times, 0.02 * np.arange(264))
        assert found.attention.sum() == pytest.approx(1)
        assert (found.attention > 0).all(), "the last window begins between two frames, and leaves no gaps"
        np.testing.assert_array_equal(found.wave, speech(5.27))

    def test_a_window_is_told_as_it_is(self, trained, recording, speech):
        found, wave = Explainer(Judge(trained))(recording(2.0)), torch.from_numpy(speech(2.0))[None]
        alone = attribute(trained, wave)
        np.testing.assert_allclose(found.attribution, alone.parts[0].detach(), rtol=1e-5)
        np.testing.assert_allclose(found.attention, attention(trained, wave)[0].detach(), rtol=1e-5)
        np.testing.assert_allclose(found.frequencies, trained.frontend.frequencies)

    def test_only_the_first_windows_up_to_a_bound(self, trained, recording):
        long, short = (Explainer(Judge(trained), most_s=4.5)(recording(seconds)) for seconds in (7.5, 4.0))
        assert (long.windows, len(long.wave)) == (2, 64_000)
        np.testing.assert_allclose(long.attribution, short.attribution, rtol=1e-4, atol=1e-6)
        assert Explainer(Judge(trained), most_s=0.1)(recording(7.5)).windows == 1

    def test_repetitions_count_for_what_they_repeat(self, trained, recording):
        found = Explainer(Judge(trained), steps=64)(recording(0.3))
        assert found.attribution.shape == (32, 15)
        assert len(found.wave) == 4_800
        assert found.attention.sum() == pytest.approx(1)
        assert abs(found.missing) < 0.03 * np.abs(found.attribution).sum()

    def test_silence_has_no_parts(self, through_the_wave, tmp_path):
        soundfile.write(tmp_path / "a.wav", np.zeros(16_000), 16_000)
        found = Explainer(Judge(through_the_wave))(Recording(tmp_path / "a.wav", "a.wav"))
        np.testing.assert_allclose(found.attribution, 0, atol=1e-4)

    def test_from_some_time_on(self, trained, recording):
        explain = Explainer(Judge(trained), most_s=2.0)
        assert [explain(recording(7.0), start_s).times[0] for start_s in (0.0, 1.5, 2.0, 5.0, 99.0)] == [0, 2, 2, 5, 5]

    def test_fewer_cells_have_the_same_sums(self, trained, recording):
        found = Explainer(Judge(trained), most_s=4.0)(recording(7.5), 2.0)
        coarse = found.coarse(8, 0.1)
        assert coarse.parts.shape == (8, 40)
        assert coarse.parts.sum() == pytest.approx(found.attribution.sum(), abs=1e-9)
        assert (coarse.times[0], coarse.times[-1], coarse.bands[-1]) == (2.0, 6.0, 8_000)
        np.testing.assert_allclose(coarse.attention.sum(), 1)
        middle = found.attribution[:, (found.times > 4.01) & (found.times < 5.01)].sum()
        assert coarse.parts[:, 20:30].sum() == pytest.approx(middle, abs=0.02 * np.abs(found.attribution).sum())

    def test_steps_are_needed(self, trained):
        with pytest.raises(LabError, match="steps=0: gradients are to be taken at one point"):
            Explainer(Judge(trained), steps=0)


class TestCommand:
    def test_a_picture_for_each_recording(self, lab, checkpoint, speech):
        (lab.folder / "in").mkdir()
        names = ["in/a.wav", "a.wav", "in/$x^2$ 録音.wav"]
        for name in names:
            soundfile.write(name, speech(1.3), 16_000)
        given = ",".join(f"'{name}'" for name in names)
        status, printed = lab("predict", f"checkpoint={checkpoint}", f"input=[{given}]", "explain=out/pictures")
        assert status == 0, printed
        pictures = sorted((lab.folder / "out/pictures").iterdir())
        assert [picture.name for picture in pictures] == ["$x^2$ 録音.wav.png", "a.wav-2.png", "a.wav.png"]
        for picture in pictures:
            pixels = matplotlib.image.imread(picture)
            assert pixels.shape[1] > 1_000
            assert np.ptp(pixels[..., :3]) > 0.9

    def test_any_recording_that_is_scored_is_drawn(self, lab, checkpoint):
        (lab.folder / "in").mkdir()
        for name, wave in (("short", np.full(100, 0.1)), ("silent", np.zeros(20_000))):
            soundfile.write(f"in/{name}.wav", wave, 16_000)
        status, printed = lab("predict", f"checkpoint={checkpoint}", "input=in", "explain=out")
        assert status == 0, printed
        assert len(list((lab.folder / "out").iterdir())) == 2

    def test_a_folder_that_cannot_be_is_named_before_any_work(self, lab, checkpoint, speech):
        soundfile.write("a.wav", speech(1.3), 16_000)
        status, printed = lab("predict", f"checkpoint={checkpoint}", "input=a.wav", "explain=a.wav", "output=o.csv")
        assert status == 2
        assert "explain=a.wav: cannot be written (File exists). Name another folder." in printed
        assert not (lab.folder / "o.csv").exists()
