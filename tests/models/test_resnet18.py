"""ResNet-18: torchvision's own, but for the stem and the classifier."""

import torch
from torchvision.models import resnet18

from deepfake_lab.models.resnet18 import ResNet18


def test_equals_torchvisions_on_a_grey_picture():
    """One channel through a stem whose weights are the sum over the colours of torchvision's."""
    torch.manual_seed(0)
    original = resnet18(weights=None).eval()
    ours = ResNet18(1, 96).eval()
    state = original.state_dict()
    state["conv1.weight"] = state["conv1.weight"].sum(1, keepdim=True)
    ours.network.load_state_dict({name: tensor for name, tensor in state.items() if not name.startswith("fc.")})
    features = torch.randn(2, 1, 96, 130)
    original.fc = torch.nn.Identity()
    with torch.inference_mode():
        expected = original((features / (1 + 1e-5) ** 0.5).expand(-1, 3, -1, -1))
        torch.testing.assert_close(ours(features), expected, rtol=1e-3, atol=1e-3)


def test_has_no_classifier_and_the_stem_that_the_features_need():
    published = 11_689_512  # with 1000 classes and three colours
    for channels in (1, 2, 3):
        model = ResNet18(channels, 64)
        assert sum(p.numel() for p in model.parameters()) == published - 513_000 + (channels - 3) * 64 * 49


def test_stem_is_initialised_as_torchvision_does():
    torch.manual_seed(0)
    deviation = ResNet18(1, 64).network.conv1.weight.std().item()
    assert abs(deviation / (2 / (64 * 49)) ** 0.5 - 1) < 0.05
