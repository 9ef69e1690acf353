"""Compare trained networks on a scan; the same as the command `compare-models`."""

import sys

from ptycho.cli.compare_models import main

if __name__ == "__main__":
    sys.exit(main())
