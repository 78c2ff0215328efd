from .devices import read_devices as read_devices
from .devices.ssh import DeviceError as DeviceError
from .devices.web import NoRuntimeError as NoRuntimeError
from .results import Result as Result
