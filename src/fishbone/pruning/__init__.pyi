from .surgeon import Pruned as Pruned
from .surgeon import Surgeon as Surgeon
