"""Reconstruct a scan with one trained network; the same as the command `ptycho-reconstruct`."""

import sys

from ptycho.cli.reconstruct import main

if __name__ == "__main__":
    sys.exit(main())
