"""Federated methods, a file each, and the one table of them."""

from collections.abc import Mapping

from fishbone.federated.methods.centralised import Centralised
from fishbone.federated.methods.fedavg import FedAvg
from fishbone.federated.methods.hovefl import HoVeFL
from fishbone.federated.methods.protocol import Method

METHODS: Mapping[str, type[Method]] = {method.name: method for method in (HoVeFL, FedAvg, Centralised)}
