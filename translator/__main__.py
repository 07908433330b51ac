"""Runs the command line, so that `python -m translator` and `torchrun -m translator` work."""

from translator.cli import main

if __name__ == "__main__":
    main()
