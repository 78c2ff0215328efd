TARGETS["gan"] = []
