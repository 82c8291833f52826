"""Start the command."""

import sys

from development.fuzz.command import main

if __name__ == '__main__':
    sys.exit(main())
