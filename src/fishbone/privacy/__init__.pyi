from .audit import RawImageAudit as RawImageAudit
