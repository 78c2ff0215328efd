"""`python -m fishbone`: the same as the program `fishbone`."""

from fishbone.cli import main

main()
