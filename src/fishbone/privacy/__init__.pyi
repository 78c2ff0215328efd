from .audit import RawImageAudit as RawImageAudit
from .audit import RawImageFound as RawImageFound
