"""How networks without a study of their own are pruned: what `Surgeon` and the export of fewer channels take."""

from fishbone.curvature.learning import Learning
from fishbone.pruning.compensation import Solver

LEARNING = Learning(
    form="three_way", start="activations", first_steps=0, later_steps=0, learning_rate=1e-3, directions=4,
    drawn_from="noise", batch=25, held_out=0, precondition=True, weights="all", renew=False,
)  # fmt: skip
SOLVER = Solver(iterations=100, tolerance=1e-3)
