"""LCNN: the trunk of the paper to the parameter, and the heads, against the same by functions alone."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from deepfake_lab.models.lcnn import LCNN, MaxFeatureMap

NORM, POOL = "norm", "pool"
CONVOLUTION = "convolution"
TRUNK = [
    *(CONVOLUTION, POOL, CONVOLUTION, NORM, CONVOLUTION, POOL, NORM),
    *(CONVOLUTION, NORM, CONVOLUTION, POOL, CONVOLUTION, NORM, CONVOLUTION, NORM, CONVOLUTION, NORM, CONVOLUTION, POOL),
]


def convolutions(model):
    return [layer for layer in model.trunk.modules() if isinstance(layer, nn.Conv2d)]


def moved(model, seed=0):
    """Gives running statistics values of their own, as training does."""
    generator = torch.Generator().manual_seed(seed)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(generator=generator)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 2, generator=generator)
    return model


def reference(model, features):
    """Maps of the trunk by functions alone, channels compared by indices and strides."""
    maps = functional.batch_norm(
        features.flatten(1, 2), model.standardise.norm.running_mean, model.standardise.norm.running_var
    ).view_as(features)
    layers = iter(convolutions(model))
    norms = iter([layer for layer in model.trunk.modules() if isinstance(layer, nn.BatchNorm2d)])
    for kind in TRUNK:
        if kind == CONVOLUTION:
            layer = next(layers)
            maps = functional.conv2d(maps, layer.weight, layer.bias, padding=layer.kernel_size[0] // 2)
            maps = maps.unflatten(1, (2, -1)).amax(1)
        elif kind == POOL:
            maps = functional.max_pool2d(maps, 2)
        else:
            layer = next(norms)
            maps = (maps - layer.running_mean[:, None, None]) / (layer.running_var[:, None, None] + 1e-5).sqrt()
    assert next(layers, None) is next(norms, None) is None
    return maps


def test_trunk_is_that_of_the_paper():
    model = LCNN(1, 60)
    shapes = [(layer.out_channels, *layer.kernel_size) for layer in convolutions(model)]
    widths = [64, 64, 96, 96, 128, 128, 64, 64, 64]
    assert shapes == [(width, k, k) for width, k in zip(widths, [5, 1, 3, 1, 3, 1, 3, 1, 3], strict=True)]
    assert sum(p.numel() for layer in convolutions(model) for p in layer.parameters()) == 157_504
    assert sum(p.numel() for p in model.trunk.parameters()) == 157_504  # batch normalisation has none


def test_trunk_equals_a_reference():
    torch.manual_seed(0)
    model = moved(LCNN(2, 60)).eval()
    features = torch.randn(2, 2, 60, 75)
    maps = model.trunk(model.standardise(features))
    assert maps.shape == (2, 32, 60 // 16, 75 // 16)
    torch.testing.assert_close(maps, reference(model, features), rtol=1e-4, atol=1e-5)


def test_blstm_head_is_two_lstms_a_skip_and_a_mean():
    torch.manual_seed(0)
    model = moved(LCNN(1, 60, head="blstm")).eval()
    features = torch.randn(3, 1, 60, 101)
    frames = reference(model, features).permute(0, 3, 1, 2).flatten(2)
    state = model.head.recurrent.state_dict()
    through = frames
    for number in range(2):
        layer = nn.LSTM(96, 48, bidirectional=True, batch_first=True)
        names = {name: name.replace("_l0", f"_l{number}") for name in layer.state_dict()}
        layer.load_state_dict({name: state[source] for name, source in names.items()})
        through, _ = layer(through)
    torch.testing.assert_close(model(features), (through + frames).mean(1), rtol=1e-4, atol=1e-5)
    assert model.embedding_dim == 96


def test_pooling_head_sees_mean_and_deviation_of_each_component():
    torch.manual_seed(0)
    model = moved(LCNN(1, 60)).eval()
    features = torch.randn(3, 1, 60, 101)
    frames = reference(model, features).flatten(1, 2)
    pooled = torch.cat([frames.mean(-1), frames.std(-1, correction=0)], dim=1)
    expected = model.head.embed[0](pooled).view(3, 2, 80).amax(1)
    torch.testing.assert_close(model(features), expected, rtol=1e-3, atol=1e-3)


def test_max_feature_map_takes_the_larger_of_both_halves():
    maps = torch.tensor([[1.0, -5.0, 0.5, 7.0], [3.0, 2.0, 4.0, -1.0]])
    assert MaxFeatureMap()(maps).tolist() == [[1.0, 7.0], [4.0, 2.0]]


@pytest.mark.parametrize("head", ["pooling", "blstm"])
def test_dropout_is_on_the_trunk_in_training_only(head):
    torch.manual_seed(0)
    model = LCNN(1, 32, head=head)
    features = torch.randn(2, 1, 32, 64)
    assert not torch.equal(model(features), model(features))
    model.eval()
    assert torch.equal(model(features), model(features))
