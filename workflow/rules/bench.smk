TARGETS["bench"] = []
