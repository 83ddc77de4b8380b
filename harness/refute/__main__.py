"""python -m refute: the command line."""

from refute.cli.main import main

main()
