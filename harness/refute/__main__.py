"""python -m refute: the command line."""

from refute._cli import main

main()
