"""``python -m shipway`` is ``shipway``."""

import sys

from shipway.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
