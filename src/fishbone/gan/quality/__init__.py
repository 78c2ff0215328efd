"""How good a generator is: a file a metric, and `evaluation`, which puts them together."""
