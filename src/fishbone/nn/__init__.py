"""Networks, their training loop, evaluation and checkpoints."""
