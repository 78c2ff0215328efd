"""Where the parties of a federation run; what they compute is the same everywhere."""
