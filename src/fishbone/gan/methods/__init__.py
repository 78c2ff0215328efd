"""The methods, a file each, under the names that parameters give them."""

from collections.abc import Callable, Mapping

from fishbone.gan.game import Game
from fishbone.gan.methods import centralised, fsl_gan
from fishbone.gan.setting import Population, Setting

METHODS: Mapping[str, Callable[[Setting, Population], Game]] = {
    "fsl_gan": fsl_gan.build,
    "centralised": centralised.build,
}
