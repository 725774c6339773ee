import math

import pytest
import torch
from make_detectors import FRONTENDS, small_detector

from deepfake_lab import export
from deepfake_lab.checkpoint import build_detector, load_detector, save_detector
from deepfake_lab.models.ensemble import Ensemble
from deepfake_lab.models.head import ContrastiveHead, CosineHead, LinearHead

COSINE = {"_target_": "deepfake_lab.models.head.CosineHead", "_partial_": True}
CONTRASTIVE = {"_target_": "deepfake_lab.models.head.ContrastiveHead", "_partial_": True, "probe": True}


def detector(seed=0, **head):
    torch.manual_seed(seed)
    return build_detector(small_detector({}, FRONTENDS[0], 0.4) | head).eval()


def test_usual_head_is_one_layer_under_its_old_names():
    """Checkpoints of before there were other heads have these."""
    usual = detector()
    names = {name: tuple(tensor.shape) for name, tensor in usual.state_dict().items() if name.startswith("head")}
    assert names == {"head.weight": (1, 4), "head.bias": (1,)}
    assert usual(torch.randn(3, 6_400)).projection.shape == (3, 0)


@pytest.mark.parametrize("head", [{"head": COSINE}, {"head": COSINE | {"class_vectors": 1}}, {"head": CONTRASTIVE}])
def test_other_heads_travel_in_the_checkpoint_and_go_into_ensembles(tmp_path, head):
    made = detector(**head)
    made.calibrate(2.0, 0.5)
    save_detector(made, tmp_path / "d.ckpt")
    wave = torch.randn(3, 6_400)
    loaded = load_detector(tmp_path / "d.ckpt")
    torch.testing.assert_close(loaded(wave).score, made(wave).score)
    together = Ensemble([loaded, detector(seed=1)]).eval()
    torch.testing.assert_close(together(wave).embedding[:, 0], made(wave).score)


def test_cosines_to_class_vectors_make_the_score():
    head = CosineHead(2)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[3.0, 0.0], [0.0, 0.5]]))
    embedding = torch.tensor([[0.2 * math.cos(0.5), 0.2 * math.sin(0.5)], [-7.0, 0.0]])
    cosines = torch.tensor([[math.cos(0.5), math.sin(0.5)], [-1.0, 0.0]])
    torch.testing.assert_close(head.projection(embedding), cosines)
    torch.testing.assert_close(head(embedding), cosines[:, :1] - cosines[:, 1:])
    alone = CosineHead(2, class_vectors=1)
    alone.load_state_dict({"weight": head.weight[:1]})
    torch.testing.assert_close(alone(embedding), cosines[:, :1])


def test_an_embedding_of_nothing_has_a_score_and_a_bounded_gradient():
    embedding = torch.zeros(1, 4, requires_grad=True)
    score = CosineHead(4)(embedding)
    score.backward()
    assert score == 0
    assert embedding.grad.abs().max() < 1e5


@pytest.mark.parametrize("probe", [True, False])
def test_a_probe_leaves_the_embedding_to_the_projection(probe):
    torch.manual_seed(0)
    head = ContrastiveHead(4, projection_dim=6, probe=probe)
    embedding = torch.randn(5, 4, requires_grad=True)
    head(embedding).sum().backward()
    assert (embedding.grad is None) == probe
    assert head.weight.grad is not None
    projection = head.projection(embedding)
    torch.testing.assert_close(projection.norm(dim=1), torch.ones(5))
    torch.testing.assert_close(head.projection(9 * embedding), projection)
    projection.sum().backward()
    assert embedding.grad is not None
    torch.testing.assert_close(head(embedding), LinearHead.forward(head, embedding))


@pytest.mark.slow
@pytest.mark.parametrize("head", [COSINE, COSINE | {"class_vectors": 1}, CONTRASTIVE], ids=["two", "one", "contrast"])
def test_exports(tmp_path, head):
    made = detector(head=head)
    export.write_onnx(made, tmp_path / "d.onnx")
    assert export.compare(made, tmp_path / "d.onnx") < export.TOLERANCE
