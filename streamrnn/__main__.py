"""`python -m streamrnn`: the command line."""

import sys

from streamrnn.cli import main

if __name__ == "__main__":
    sys.exit(main())
