import pytest
import torch
from small_game import fsl_gan

from fishbone.errors import Malformed
from fishbone.gan.messages import Generated


@pytest.mark.parametrize("shape", [(5, 1, 8, 8), (6, 1, 4, 4), (6, 64)], ids=str)
def test_generated_images_of_another_number_or_shape_are_refused(shape):
    game = fsl_gan()
    with pytest.raises(Malformed, match="the owner of 6 images a step has no answer to this generated"):
        game.rounds.link.ask("user0/device0", Generated(0, torch.zeros(shape)))
