"""CRNN: the order of its maps in memory changes speed, and neither scores, gradients nor checkpoints."""

import copy

import pytest
import torch
from torch import nn

from deepfake_lab.models.attention_crnn import AttentionCRNN
from deepfake_lab.models.crnn import CRNN


def plain(encoder):
    """The same encoder as one would write it first: maps in their usual order, ReLU into a new tensor."""
    twin = copy.deepcopy(encoder).to(memory_format=torch.contiguous_format)
    for layer in twin.modules():
        if isinstance(layer, nn.ReLU):
            layer.inplace = False
    return twin


def without_dropout(encoder):
    for layer in encoder.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    return encoder


@pytest.mark.parametrize("model", [CRNN, AttentionCRNN])
@pytest.mark.parametrize(("channels", "bins", "frames"), [(1, 128, 50), (3, 40, 7), (1, 16, 1)])
def test_order_in_memory_changes_neither_embeddings_nor_gradients(model, channels, bins, frames):
    torch.manual_seed(0)
    encoder = without_dropout(model(channels, bins))
    twin = plain(encoder)
    features = torch.randn(4, channels, bins, frames)
    for training in (True, False):
        embeddings = [each.train(training)(features) for each in (encoder, twin)]
        torch.testing.assert_close(*embeddings, rtol=0, atol=1e-5)
    torch.testing.assert_close(encoder.state_dict(), twin.state_dict(), rtol=0, atol=1e-5)
    for embedding in embeddings:
        embedding.square().mean().backward()
    for ours, theirs in zip(encoder.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-5)


def test_maps_are_channels_last():
    convolutions = CRNN(1, 128).convolutions
    maps = nn.Sequential(*list(convolutions)[:-1])(torch.randn(2, 1, 128, 20))
    assert maps.is_contiguous(memory_format=torch.channels_last)


def test_weights_in_the_usual_order_load():
    torch.manual_seed(0)
    old = plain(CRNN(1, 32)).eval()
    new = CRNN(1, 32).eval()
    new.load_state_dict(old.state_dict())
    features = torch.randn(2, 1, 32, 20)
    torch.testing.assert_close(new(features), old(features), rtol=0, atol=1e-5)
    assert new.convolutions[2][0].weight.is_contiguous(memory_format=torch.channels_last)
