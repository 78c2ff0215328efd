"""Chains on a carrier in this process, driven by a feeder that holds no layers and begins and ends the sessions."""

from functools import partial

from torch import nn

from fishbone.nn.optimiser import Optimiser
from fishbone.split.chain import segments
from fishbone.split.messages import OWNER, Activation, Begin, Finish, rules
from fishbone.split.passes import Pass
from fishbone.wire.memory import Memory
from fishbone.wire.policy import Policy
from fishbone.wire.traffic import Traffic

POLICY = Policy(rules(coordinator=OWNER))
ADAM = Optimiser("adam", 1e-3, betas=(0.5, 0.999))
SGD = Optimiser("sgd", 0.5)
SUM = {
    "learn": Pass(lambda output, step: output.sum(), learn=True),
    "judge": Pass(lambda output, step: output.sum(), learn=False),
}


class Chain:
    """``sizes`` layers of ``network`` at each of ``device0``, ``device1``, …"""

    def __init__(self, network: nn.Sequential, sizes, passes=SUM, carrier=Memory, observers=(), deadline=None):
        self.traffic, self.deadline = Traffic(), deadline
        self.memory = carrier(POLICY, [*observers, self.traffic])
        self.link = self.memory.link("feeder", OWNER)
        placed = {f"device{index}": size for index, size in enumerate(sizes)}
        self.parties = segments(network, placed, "u", passes, feeder="feeder", clock=self.memory.clock)
        for address, segment in self.parties.items():
            self.memory.attach(address, segment)

    def begin(self, weights, optimiser=ADAM, round_=1, base=0):
        return list(self._begin(weights, optimiser, round_, base))

    def _begin(self, weights, optimiser, round_, base):
        for address, segment in self.parties.items():
            mine = {name: weights[name] for name in segment.module.state_dict()}
            yield self.link.ask(address, Begin(round_, base, optimiser, self.deadline, mine))

    def ask(self, step, purpose, value):
        return self.link.ask("device0", Activation(step, purpose, value))

    def finish(self, round_=1):
        answers = [self.link.ask(address, Finish(round_)) for address in self.parties]
        return {name: value for answer in answers for name, value in answer.weights.items()}


framed = partial(Memory, through_codec=True)
