"""What training leaves alone, and how fast it changes the rest."""

import re
from functools import partial

import pytest
import torch

from deepfake_lab.frontends.mel import Mel
from deepfake_lab.frontends.wav2vec2 import Wav2Vec2
from deepfake_lab.frontends.whisper import Whisper
from deepfake_lab.models.crnn import CRNN
from deepfake_lab.models.detector import Detector
from deepfake_lab.models.linear import Linear
from deepfake_lab.types import LabError

WAVE = 0.1 * torch.randn(4, 4_000, generator=torch.Generator().manual_seed(0))
SMALL = {
    "encoder_embed_dim": 16,
    "encoder_num_layers": 1,
    "encoder_num_heads": 2,
    "encoder_ff_interm_features": 16,
    "encoder_pos_conv_kernel": 4,
    "encoder_pos_conv_groups": 4,
    "extractor_conv_layer_config": [[8, 10, 5], [8, 3, 2]],
}


@pytest.fixture
def detector():
    torch.manual_seed(0)
    encoder = lambda channels, bins: CRNN(channels, bins, widths=[4] * 4, hidden=4, embedding_dim=4, dropout=0.5)  # noqa: E731
    made = Detector(Mel(bins=16), encoder)
    made.eer_threshold.fill_(0)  # a NaN equals nothing
    return made


def train(detector):
    """A step, and what it has changed."""
    before = {name: tensor.clone() for name, tensor in detector.state_dict().items()}
    optimizer = torch.optim.SGD(detector.parameter_groups(), lr=0.1)
    detector.train()
    detector(WAVE).raw_score.square().sum().backward()
    optimizer.step()
    return {name for name, tensor in detector.state_dict().items() if not torch.equal(tensor, before[name])}


def test_frozen_parts_stay_as_they_are_and_others_move(detector):
    detector.fine_tune(["encoder.convolutions.*", "encoder.recurrent.*"])
    assert train(detector) == {"encoder.embed.1.weight", "encoder.embed.1.bias", "head.weight", "head.bias"}
    modes = {name: module.training for name, module in detector.named_modules()}
    assert not [name for name, mode in modes.items() if mode and name.startswith("encoder.convolutions")]
    assert modes["encoder.recurrent"], "cuDNN passes no gradient through one in eval mode"
    assert modes["encoder"]
    assert not any(module.training for module in detector.eval().modules())


def test_a_frozen_encoder_says_the_same_in_training(detector):
    detector.fine_tune(["encoder.*"])
    with torch.no_grad():
        assert torch.equal(detector.train()(WAVE).embedding, detector.eval()(WAVE).embedding)


def test_what_has_statistics_alone_is_frozen_by_their_names(detector):
    detector.fine_tune(["encoder.convolutions.0.*"])
    changed = train(detector)
    assert not {name for name in changed if name.startswith("encoder.convolutions.0.")}
    assert "encoder.convolutions.1.1.running_mean" in changed


def test_learning_rates_are_as_asked_for_and_the_first_pattern_counts(detector):
    detector.fine_tune(["encoder.recurrent.*"], {"head.bias": 3e-3, "head.*": 2e-3, "encoder.convolutions.*": 1e-5})
    named = {parameter: name for name, parameter in detector.named_parameters()}
    groups = detector.parameter_groups()
    rates = {named[parameter]: group.get("lr") for group in groups for parameter in group["params"]}
    assert "lr" not in groups[0]
    assert len({*rates.values()}) == len(groups) == 4
    assert (rates["head.bias"], rates["head.weight"]) == (3e-3, 2e-3)
    assert {rate for name, rate in rates.items() if "convolutions" in name} == {1e-5}
    assert rates.keys() == {name for name, _ in detector.named_parameters() if "recurrent" not in name}


@pytest.mark.parametrize(
    ("make", "part"), [(partial(Wav2Vec2, sizes=SMALL), "feature_extractor"), (partial(Whisper, "tiny", 1), "conv1")]
)
def test_a_transformers_learning_rate_gives_way_to_a_pattern(make, part):
    detector = Detector(make(frozen=False, learning_rate=1e-6), Linear)
    detector.fine_tune([], {f"*.{part}.*": 1e-7})
    named = {parameter: name for name, parameter in detector.named_parameters()}
    rates = {named[one]: group.get("lr") for group in detector.parameter_groups() for one in group["params"]}
    for name, rate in rates.items():
        expected = 1e-7 if part in name else 1e-6 if "backbone" in name else None
        assert rate == expected, name


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (
            {"freeze": ["encodr.*"]},
            "model.freeze: encodr.* fits the name of no weight that could be meant. Did",
        ),
        ({"freeze": ["frontend.*"]}, "There are encoder.*, head.*"),
        ({"freeze": ["eer_threshold"]}, "model.freeze: eer_threshold fits"),
        ({"freeze": ["*"]}, "nothing is left to train"),
        ({"freeze": ["head.*"], "learning_rates": {"head.*": 1e-3}}, "model.learning_rates: head.* fits"),
        ({"learning_rates": {"head.*": 0.0}}, "model.learning_rates: 0.0 for head.*"),
    ],
)
def test_mistakes_are_explained(detector, settings, complaint):
    with pytest.raises(LabError, match=re.escape(complaint)):
        detector.fine_tune(**settings)


def test_nothing_asked_for_nothing_frozen(detector):
    detector.fine_tune()
    assert all(module.training for module in detector.train().modules())
    assert len(detector.parameter_groups()) == 1
