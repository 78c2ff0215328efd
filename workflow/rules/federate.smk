TARGETS["federate"] = []
