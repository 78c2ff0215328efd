from .roles import HorizontalRole as HorizontalRole
from .roles import VerticalRole as VerticalRole
