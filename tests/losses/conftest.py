import pytest
import torch

from deepfake_lab.types import Batch, Output


@pytest.fixture
def terms():
    """Terms of a loss of what a head has made of utterances with these labels."""

    def of(loss, label, raw=None, projection=None):
        label = torch.as_tensor(label)
        raw = torch.zeros(len(label)) if raw is None else torch.as_tensor(raw)
        projection = raw.new_empty(len(label), 0) if projection is None else torch.as_tensor(projection)
        batch = Batch(torch.zeros(len(label), 0), label, torch.arange(len(label)), ())
        return loss(Output(raw, raw, raw.unsqueeze(1), projection, raw.new_empty(len(raw), 0)), batch)

    return of
