from .boundary import Stage as Stage
from .chain import cut as cut
from .chain import segments as segments
from .planner import Capacity as Capacity
from .planner import balanced as balanced
from .planner import measure as measure
from .segment import Segment as Segment
