"""A runtime for pruned networks: zero weights cost no time. One C file that a device builds with its own compiler."""
