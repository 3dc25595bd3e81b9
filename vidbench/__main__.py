"""``python -m vidbench``: the command, where its folder is not on the PATH."""

import sys

if __name__ == "__main__":  # worker processes import this file
    from vidbench.cli import main

    sys.exit(main())
