"""What a run cost: multiply-accumulates of every party and bytes on every kind of link.

Per pair of a real and a generated image a layer of the discriminator does 8 times its forward work: forward, weight
gradient and input gradient for each image, then forward and input gradient for the feedback. The first layer
does 6: nothing asks for the gradient of the first two passes by their images. The generator does 3, its first layer 2.
What was played is known from what was sent: a user's step that gave feedback counts whole, one that did not counts for
the server alone.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from fishbone.gan.absences import Absence
from fishbone.gan.messages import SERVER, Feedback
from fishbone.gan.method import User
from fishbone.nn.dcgan import Generator
from fishbone.split.planner import Layer, measure
from fishbone.wire.traffic import Key


def discriminator_macs(layers: Sequence[Layer], pairs: int, first: bool) -> int:
    """For ``pairs`` of images; ``first``: whether ``layers`` start with the network's first layer."""
    return pairs * (8 * sum(layer.macs for layer in layers) - (2 * layers[0].macs if first else 0))


def generator_macs(generator: Generator, images: int) -> int:
    """For ``images`` generated images and a step on them."""
    layers = measure(generator.layers, (generator.latent,))
    return images * (3 * sum(layer.macs for layer in layers) - layers[0].macs)


def over_users(
    generator: Generator, layers: Sequence[Layer], users: Sequence[User], sent: Mapping[Key, int], pixels: int
) -> dict[str, int]:
    """Costs of all rounds so far; flat, named as in ``metrics.json``. ``images``: real ones seen.

    ``bytes_between_devices`` adds activations and gradients inside the users, ``bytes_server`` all that the server
    sends and receives: generated images, feedback and weights.

    Args:
        generator: the server's, for its size.
        layers: what the layers of the whole discriminator cost.
        users: all of them, whoever was left out.
        sent: bytes by link and kind.
        pixels: values of an image, of 4 bytes each.
    """
    by_kind: Counter[str] = Counter()
    by_sender: Counter[str] = Counter()
    for (sender, _, kind), count in sent.items():
        by_kind[kind] += count
        by_sender[sender] += count
    weights = by_kind["begin"] + by_kind["update"]
    seen = {user: sent.get(Key(user.parts[0].address, SERVER, Feedback.kind), 0) // (4 * pixels) for user in users}
    images = sum(seen.values())
    costs = _common(generator, layers, images) | {
        "bytes_raw_images": 0,
        "bytes_activations": by_kind["activation"],
        "bytes_gradients": by_kind["gradient"],
        "bytes_generated": by_kind["generated"],
        "bytes_feedback": by_kind["feedback"],
        "bytes_weights": weights,
        "bytes_between_devices": by_kind["activation"] + by_kind["gradient"],
        "bytes_server": by_kind["generated"] + by_kind["feedback"] + weights,
        "bytes_sent_server": by_sender[SERVER],
        "macs_server": generator_macs(generator, by_kind["generated"] // (4 * pixels)),
    }
    for user in users:
        costs |= _devices(user, by_sender, layers, seen[user])
    costs["macs_devices"] = sum(count for name, count in costs.items() if name.startswith("macs_user"))
    return costs


def irregular(absences: Iterable[Absence], restarts: int) -> dict[str, int]:
    """How often users were left out of the rest of a round (``absences_STATUS``), and began afresh (``restarts``).

    What never happened is not there.
    """
    counts = Counter(absence.status for absence in absences)
    found = {f"absences_{status}": counts[status] for status in sorted(counts)}
    return found | ({"restarts": restarts} if restarts else {})


def in_one_place(generator: Generator, layers: Sequence[Layer], images: int, pixels: int) -> dict[str, int]:
    """As `over_users`, for the one machine that all images were sent to.

    Args:
        generator: the machine's, for its size.
        layers: what the layers of the whole discriminator cost.
        images: real ones seen, each time anew.
        pixels: values of all images, which were sent once as uint8 (``bytes_raw_images``).
    """
    return _common(generator, layers, images) | {
        "bytes_raw_images": pixels,
        "bytes_between_devices": 0,
        "bytes_server": 0,
        "macs_server": generator_macs(generator, images) + discriminator_macs(layers, images, first=True),
    }


def _common(generator: Generator, layers: Sequence[Layer], images: int) -> dict[str, int]:
    """What every method has: images seen and parameters."""
    return {
        "images": images,
        "parameters_generator": sum(p.numel() for p in generator.parameters()),
        "parameters_discriminator": sum(layer.parameters for layer in layers),
    }


def _devices(user: User, sent: Mapping[str, int], layers: Sequence[Layer], pairs: int) -> dict[str, int]:
    """Bytes sent, multiply-accumulates for ``pairs`` of images, and parameters of each of the user's devices."""
    rest = iter(layers)
    costs = {}
    for index, part in enumerate(user.parts):
        mine = list(islice(rest, part.layers))
        name = part.address.replace("/", "_")
        costs[f"bytes_sent_{name}"] = sent[part.address]
        costs[f"macs_{name}"] = discriminator_macs(mine, pairs, first=index == 0)
        costs[f"parameters_{name}"] = sum(layer.parameters for layer in mine)
    return costs
