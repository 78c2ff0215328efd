TARGETS["report"] = []
