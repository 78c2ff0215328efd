TARGETS["export"] = []
