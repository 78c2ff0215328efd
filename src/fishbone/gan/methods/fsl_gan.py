"""FSL-GAN (arXiv 2207.01750): federated discriminators, each split over its user's devices.

A round begins with the mean discriminator everywhere; the generator is stepped on the users' feedback, weighted by
n_k / n; the discriminators at the end are averaged with weights n_k / n in float64. The authors' code differs: it sums
instead of averaging, ignores n_k, and updates G and D simultaneously.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from torch import Tensor

from fishbone.gan.in_process import InProcess, over_users
from fishbone.gan.method import User, Weights
from fishbone.gan.setting import Population, Setting
from fishbone.nn.averages import weighted_mean
from fishbone.nn.pack import under

PREFIX = "discriminator/"


@dataclass(frozen=True, eq=False)
class FslGan:
    """A `fishbone.gan.method.Method`.

    Args:
        weights: the common discriminator's weights by name.
    """

    weights: Weights

    def discriminator(self, user: str) -> Weights:
        """The common one."""
        return self.weights

    def shares(self, users: Sequence[User]) -> dict[User, Fraction]:
        """n_k / n."""
        total = sum(user.images for user in users)
        return {user: Fraction(user.images, total) for user in users}

    def collect(self, weights: Mapping[User, Weights]) -> "FslGan":
        """The weighted mean of the discriminators, rounded once to the weights' type."""
        shares = self.shares(list(weights))
        mean = weighted_mean({user.name: (shares[user], mine) for user, mine in weights.items()})
        return FslGan({name: mean[name].to(old.dtype) for name, old in self.weights.items()})

    def pack(self) -> dict[str, Tensor]:
        """The common discriminator."""
        return {PREFIX + name: value for name, value in self.weights.items()}

    def unpack(self, tensors: Mapping[str, Tensor]) -> "FslGan":
        """Inverse of `pack`."""
        return FslGan(under(PREFIX, tensors))


def build(setting: Setting, population: Population) -> InProcess:
    """The game; see `over_users`."""
    generator, discriminator = setting.networks()
    method = FslGan(discriminator.state_dict())
    return over_users(setting, population, generator, discriminator, method, "learning_rate.fsl_gan")
