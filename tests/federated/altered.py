"""A carrier on which messages change on the way."""

from dataclasses import replace

from fishbone.wire.memory import Memory


class Altered(Memory):
    """``alterations`` take an envelope that arrives, and give the message that is in it then."""

    def __init__(self, policy, observers=(), *, alterations=()):
        super().__init__(policy, observers)
        self.alterations = alterations

    def carry(self, envelope):
        arrived = super().carry(envelope)
        for alter in self.alterations:
            arrived = replace(arrived, message=alter(arrived))
        return arrived
