import math

import pytest
import torch

from deepfake_lab.models.domain import DomainClassifier, reversal_strength, reverse_gradient
from deepfake_lab.types import LabError

DOMAINS = torch.tensor([0, 1, 2, 1])


def test_a_reversed_gradient_is_minus_the_strength_times_the_gradient():
    values = torch.randn(4, 3, requires_grad=True)
    passed = reverse_gradient(values, 0.3)
    assert torch.equal(passed, values)
    passed.square().sum().backward()
    torch.testing.assert_close(values.grad, -0.3 * 2 * values.detach())


@pytest.mark.parametrize("progress", [0.0, 0.03, 0.5, 1.0])
def test_the_schedule_is_the_papers(progress):
    assert reversal_strength(progress) == pytest.approx(2 / (1 + math.exp(-10 * progress)) - 1)


def test_the_classifier_learns_and_the_embedding_unlearns():
    torch.manual_seed(0)
    classifier = DomainClassifier(5, DOMAINS, weight=0.2)
    gradients = []
    for through in (lambda embedding: classifier(embedding, 0.1), classifier.network):
        embedding = torch.randn(4, 5, generator=torch.Generator().manual_seed(1)).requires_grad_()
        classifier.zero_grad()
        torch.nn.functional.cross_entropy(through(embedding), DOMAINS).backward()
        gradients.append((embedding.grad, [parameter.grad.clone() for parameter in classifier.parameters()]))
    (reversed_, own), (plain, own_plain) = gradients
    torch.testing.assert_close(reversed_, -0.2 * reversal_strength(0.1) * plain)
    torch.testing.assert_close(own, own_plain)
    assert "domain_of_row" not in classifier.state_dict()


def test_a_weight_of_nothing_is_refused():
    with pytest.raises(LabError, match=r"model\.domain_weight=0"):
        DomainClassifier(5, DOMAINS, weight=0)
