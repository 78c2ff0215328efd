"""What a run cost: multiply-accumulates of every party and bytes on every kind of route.

Per pair of a real and a generated image a layer of the discriminator does 8 times its forward work: forward, weight
gradient and input gradient for each image, then forward and input gradient for the feedback. The first layer
does 6: nothing asks for the gradient of the first two passes by their images. The generator does 3, its first layer 2.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice

from torch import Tensor, nn

from fishbone.gan.centralised import Centralised
from fishbone.gan.fsl_gan import FslGan
from fishbone.gan.server import Server
from fishbone.gan.user import User
from fishbone.nn.dcgan import Generator
from fishbone.split.planner import Layer, measure


def discriminator_macs(layers: Sequence[Layer], pairs: int, first: bool) -> int:
    """For ``pairs`` of images; ``first``: whether ``layers`` start with the network's first layer."""
    return pairs * (8 * sum(layer.macs for layer in layers) - (2 * layers[0].macs if first else 0))


def generator_macs(generator: Generator, images: int) -> int:
    layers = measure(generator.layers, (generator.latent,))
    return images * (3 * sum(layer.macs for layer in layers) - layers[0].macs)


def fsl_gan(game: FslGan, shape: Sequence[int], steps: int) -> dict[str, int]:
    """Costs of ``steps`` steps over all rounds; flat, named as in ``metrics.json``. ``images``: real ones seen.

    ``bytes_between_devices`` adds activations and gradients inside the users, ``bytes_server`` all that the server
    sends and receives: generated images, feedback and weights.
    """
    by_kind: Counter[str] = Counter()
    by_sender: Counter[str] = Counter()
    for route, count in game.wire.traffic.items():
        by_kind[route.kind] += count
        by_sender[route.sender] += count
    images = steps * sum(user.batch for user in game.users)
    costs = _common(game.generator, game.discriminator, images) | {
        "bytes_raw_images": 0,
        "bytes_activations": by_kind["activation"],
        "bytes_gradients": by_kind["gradient"],
        "bytes_generated": by_kind["generated"],
        "bytes_feedback": by_kind["feedback"],
        "bytes_weights": by_kind["weights"],
        "bytes_between_devices": by_kind["activation"] + by_kind["gradient"],
        "bytes_server": by_kind["generated"] + by_kind["feedback"] + by_kind["weights"],
        "bytes_sent_server": by_sender[Server.name],
        "macs_server": generator_macs(game.generator, images),
    }
    for user in game.users:
        costs |= _devices(user, by_sender, shape, steps)
    costs["macs_devices"] = sum(count for name, count in costs.items() if name.startswith("macs_user"))
    return costs


def centralised(game: Centralised, shape: Sequence[int], steps: int) -> dict[str, int]:
    """As `fsl_gan`, for the one machine that all images were sent to (``bytes_raw_images``, uint8, once)."""
    images = steps * game.batch
    discriminator = discriminator_macs(measure(game.discriminator, shape), images, first=True)
    return _common(game.generator, game.discriminator.state_dict(), images) | {
        "bytes_raw_images": game.images.numel(),
        "bytes_between_devices": 0,
        "bytes_server": 0,
        "macs_server": generator_macs(game.generator, images) + discriminator,
    }


def _common(generator: Generator, discriminator: Mapping[str, Tensor], images: int) -> dict[str, int]:
    return {
        "images": images,
        "parameters_generator": sum(p.numel() for p in generator.parameters()),
        "parameters_discriminator": sum(p.numel() for p in discriminator.values()),
    }


def _devices(user: User, sent: Mapping[str, int], shape: Sequence[int], steps: int) -> dict[str, int]:
    """Bytes sent, multiply-accumulates and parameters of each of the user's devices."""
    whole = nn.Sequential(*(layer for stage in user.chain.stages for layer in stage.module))
    layers = iter(measure(whole, shape))
    costs = {}
    for index, (device, stage) in enumerate(zip(user.chain.devices, user.chain.stages, strict=True)):
        mine = list(islice(layers, len(stage.module)))
        name = device.replace("/", "_")
        costs[f"bytes_sent_{name}"] = sent[device]
        costs[f"macs_{name}"] = discriminator_macs(mine, steps * user.batch, first=index == 0)
        costs[f"parameters_{name}"] = sum(layer.parameters for layer in mine)
    return costs
