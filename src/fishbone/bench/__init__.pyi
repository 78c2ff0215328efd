from .devices.file import read_devices as read_devices
from .devices.outcome import DeviceError as DeviceError
from .devices.web import NoRuntimeError as NoRuntimeError
from .procedure import Procedure as Procedure
from .results import DeviceResult as DeviceResult
from .run import measure as measure
from .table import together as together
