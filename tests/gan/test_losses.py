import torch
from torch.nn import functional as F

from fishbone.gan import losses

REAL, GENERATED = torch.tensor([[-3.0], [0.5], [2.0]]), torch.tensor([[1.5], [-0.25], [-40.0]])


def test_discriminator_calls_real_images_one_and_generated_ones_zero():
    loss = losses.discriminator(torch.cat([REAL, GENERATED]))
    expected = F.binary_cross_entropy_with_logits(REAL, torch.ones(3, 1))
    expected += F.binary_cross_entropy_with_logits(GENERATED, torch.zeros(3, 1))
    torch.testing.assert_close(loss, expected)


def test_generator_wants_its_images_to_be_called_one():
    torch.testing.assert_close(
        losses.generator(GENERATED), F.binary_cross_entropy_with_logits(GENERATED, torch.ones(3, 1))
    )
