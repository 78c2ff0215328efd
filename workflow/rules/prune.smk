TARGETS["prune"] = []
