from .boundary import Stage as Stage
from .chain import Chain as Chain
from .chain import cut as cut
from .planner import Capacity as Capacity
from .planner import balanced as balanced
from .planner import measure as measure
