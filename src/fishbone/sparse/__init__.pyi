from .nodes import UnsupportedGraphError as UnsupportedGraphError
from .plan import compile_plan as compile_plan
