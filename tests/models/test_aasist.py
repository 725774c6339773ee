"""AASIST against a plain computation of the official graph, and what is special about it."""

from pathlib import Path

import numpy as np
import official_aasist
import pytest
import torch
from torch.nn import functional

from deepfake_lab.convert import load_aasist
from deepfake_lab.frontends.raw import Raw
from deepfake_lab.models.aasist import AASIST, ResidualBlock, sinc_filters
from deepfake_lab.models.aasist_graph import GraphPool
from deepfake_lab.models.aasist_official import official_name
from deepfake_lab.models.detector import Detector
from deepfake_lab.types import LabError

OFFICIAL_PARAMETERS = 297_866


@pytest.fixture(scope="module")
def weights():
    return official_aasist.random_weights()


@pytest.fixture
def detector(weights):
    """The detector with official weights, random ones."""
    detector = Detector(Raw(), AASIST)
    load_aasist(detector, weights, Path("weights.pth"))
    return detector.eval()


def small(seed=0):
    """A few channels: as deep, and quick."""
    torch.manual_seed(seed)
    return Detector(Raw(), lambda channels, bins: AASIST(channels, bins, 12, (4, 4, 8, 8, 8, 8), 16))


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("samples", [16_000, 20_011])
def test_score_is_the_second_official_logit(detector, weights, samples):
    wave = noise(samples, seed=samples)
    other, expected = official_aasist.logits(weights, wave.double().numpy())
    assert abs(other - expected) > 0.1
    with torch.inference_mode():
        rounded = detector(wave[None]).score.item()
        detector.double()
        exact = detector.head(detector.encoder(wave.double()[None, None, None])).item()
    assert exact == pytest.approx(expected, rel=2e-5)  # the filters are rounded to float32
    assert rounded == pytest.approx(expected, rel=1e-3)


def test_parameters_are_the_official_ones(detector, weights):
    assert {official_name(name) for name in detector.state_dict() if name.startswith(("encoder", "head"))} == set(
        official_aasist.shapes()
    )
    unused_output = 161
    assert sum(p.numel() for p in detector.parameters()) == OFFICIAL_PARAMETERS - unused_output


def test_every_official_tensor_that_counts_has_a_say():
    """Otherwise a comparison of scores would not see a tensor in the wrong place."""
    encoder = small().double().eval().encoder
    wave = noise(1, 1, 1, 9_000).double()
    with torch.inference_mode():
        embedding = encoder(wave)
        for name, tensor in encoder.state_dict().items():
            if ".norm1." in name or name.endswith("batches_tracked"):
                continue
            before = tensor.clone()
            tensor.add_(0.1 + 0.1 * noise(*tensor.shape, seed=1))
            assert not torch.equal(encoder(wave), embedding), name
            tensor.copy_(before)
        assert torch.equal(encoder(wave), embedding)


def test_filters_share_all_frequencies_evenly_on_the_mel_scale():
    filters = sinc_filters(70)
    impulse = torch.zeros(129)
    impulse[64] = 1
    torch.testing.assert_close(filters.sum(0), impulse, rtol=0, atol=1e-6)
    mel = 2595 * np.log10(1 + np.arange(8_001) / 700)
    for i in (30, 50, 68):
        peak = torch.fft.rfft(filters[i], 16_000).abs().argmax()
        assert mel[peak] == pytest.approx((i + 0.5) / 70 * mel[-1], abs=5)


def test_bands_are_the_pooled_magnitudes_of_the_filters():
    encoder = AASIST(1, 1)
    wave = noise(2, 1, 3_001)
    plain = functional.max_pool2d(functional.conv1d(wave, sinc_filters(70)[:, None]).abs().unsqueeze(1), 3).squeeze(1)
    torch.testing.assert_close(encoder.bands(wave), plain, rtol=0, atol=1e-7)
    assert not [name for name in encoder.state_dict() if name.startswith("bands")]


def test_residual_block_is_the_plain_one_with_gradients():
    """In-place operations and the order of the channels in memory change no number."""
    torch.manual_seed(0)
    block = ResidualBlock(4, 8).train()
    maps = noise(3, 4, 5, 31).requires_grad_()
    new = block.conv2(functional.selu(block.norm2(block.conv1(maps))))
    plain = functional.max_pool2d(new + block.shortcut(maps), (1, 3))
    weigh = noise(*plain.shape, seed=1)
    trained = [p for p in block.parameters() if p.requires_grad]
    expected = torch.autograd.grad((weigh * plain).sum(), [maps, *trained])
    for candidate in (maps, maps.to(memory_format=torch.channels_last)):
        made = block(candidate)
        torch.testing.assert_close(made, plain)
        gradients = torch.autograd.grad((weigh * made).sum(), [maps, *trained])
        torch.testing.assert_close(gradients, expected, rtol=1e-4, atol=1e-4)  # that of a bias before a norm is 0


def test_maps_keep_channels_last():
    encoder = small().encoder
    seen = []
    for block in encoder.blocks:
        block.register_forward_pre_hook(lambda _, maps: seen.append(maps[0]))
    encoder(noise(2, 1, 1, 8_000))
    assert [maps.stride(1) for maps in seen] == [1] * 6


def test_pool_keeps_a_share_best_first_and_at_least_one():
    pool = GraphPool(2, 70).eval()
    with torch.no_grad():
        pool.score.weight.copy_(torch.tensor([[1.0, 0.0]]))
        pool.score.bias.zero_()
    nodes = torch.stack([torch.randperm(90, generator=torch.Generator().manual_seed(0)) / 90.0, torch.ones(90)], 1)
    kept = pool(nodes[None])[0]
    assert kept.shape == (63, 2)
    best = nodes[:, 0].sort(descending=True).values[:63]
    torch.testing.assert_close(kept[:, 1], best.sigmoid())
    torch.testing.assert_close(kept[:, 0], best * best.sigmoid())
    assert pool(nodes[None, :1]).shape == (1, 1, 2)


def test_waveforms_get_gradients():
    wave = noise(2, 4_000).requires_grad_()
    small().eval()(wave).score.sum().backward()
    assert torch.isfinite(wave.grad).all()
    assert (wave.grad != 0).float().mean() > 0.1


def test_shortest_waveform():
    encoder = small().eval().encoder
    assert encoder.min_frames == 2_315
    assert torch.isfinite(encoder(noise(1, 1, 1, 2_315))).all()
    with pytest.raises(RuntimeError):
        encoder(noise(1, 1, 1, 2_314))
    assert small().min_samples == 2_315


@pytest.mark.parametrize(("channels", "bins"), [(1, 128), (3, 1), (2, 40)])
def test_other_features_than_raw_audio_are_refused(channels, bins):
    with pytest.raises(LabError, match=r"raw audio.*frontend=raw"):
        AASIST(channels, bins)


def test_filter_bank_computes_in_float32_under_autocast():
    encoder = small().eval().encoder
    wave = noise(1, 1, 4_000)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(encoder.bands(wave), encoder.bands(wave.clone()))
        rounded = encoder.bands(wave)
    assert rounded.dtype == torch.float32
    assert torch.equal(rounded, encoder.bands(wave))


def test_runs_where_nothing_is_computed():
    """The number of operations is counted on the meta device."""
    encoder = small().encoder.to("meta")
    assert encoder(torch.empty(2, 1, 1, 64_600, device="meta")).shape == (2, 80)
