"""How a message gets to an address and its answer comes back, with every tensor byte counted on the way.

Rounds and sessions use only `Transport`; another one (sockets, Flower) needs no change in them.
"""

from collections import Counter
from typing import Protocol

from fishbone.errors import Unreachable
from fishbone.federated.messages import Message, payload_bytes


class Device(Protocol):
    def handle(self, message: Message) -> Message: ...


class Transport(Protocol):
    def request(self, address: str, message: Message) -> Message:
        """The answer to ``message``.

        Raises:
            Unreachable: no answer.
        """

    def drain_traffic(self) -> Counter[tuple[str, str]]:
        """Payload bytes to and from each (address, kind of message) since the last call."""


class InProcess:
    """Devices are objects of this process; no copies, no threads, no waiting."""

    def __init__(self):
        self._devices: dict[str, Device] = {}
        self._traffic: Counter[tuple[str, str]] = Counter()

    def attach(self, address: str, device: Device) -> None:
        self._devices[address] = device

    def request(self, address: str, message: Message) -> Message:
        if address not in self._devices:
            raise Unreachable(address)
        self._traffic[address, message.kind] += payload_bytes(message)
        answer = self._devices[address].handle(message)
        self._traffic[address, answer.kind] += payload_bytes(answer)
        return answer

    def drain_traffic(self) -> Counter[tuple[str, str]]:
        traffic, self._traffic = self._traffic, Counter()
        return traffic
