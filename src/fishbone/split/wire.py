"""The wire between devices: every tensor that leaves a device crosses here, allowed, copied, counted and seen.

In one process now; a copy on arrival keeps the two sides apart as a network would. Bytes are those of the
payload (elements · element size), without framing.
"""

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Route:
    """Permission for one kind of payload from one device to another."""

    kind: str
    sender: str
    receiver: str


@dataclass(frozen=True, eq=False)
class Message:
    """A payload under way; ``tag`` names the forward pass that it belongs to (step, real or generated …)."""

    route: Route
    tag: str
    payload: Tensor


class Wire:
    """Carries messages over the allowed routes only.

    Args:
        routes: the complete list of what may cross.
        observer: sees each message before it is delivered; may raise to stop it.

    Attributes:
        traffic: bytes carried on each route.
    """

    def __init__(self, routes: Collection[Route], observer: Callable[[Message], None] = lambda message: None):
        self.routes = frozenset(routes)
        self.observer = observer
        self.traffic: Counter[Route] = Counter()

    def send(self, kind: str, sender: str, receiver: str, payload: Tensor, tag: str = "") -> Tensor:
        """The payload as the receiver gets it: a copy that carries no graph.

        Raises:
            RuntimeError: there is no such route.
        """
        route = Route(kind, sender, receiver)
        if route not in self.routes:
            raise RuntimeError(f"nothing of kind {kind!r} may go from {sender} to {receiver}")
        copy = payload.detach().clone()
        self.observer(Message(route, tag, copy))
        self.traffic[route] += copy.numel() * copy.element_size()
        return copy
