"""``fishbone prune``: a trained network pruned to several sparsities on one trajectory."""
