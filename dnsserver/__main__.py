"""`python -m dnsserver` is the command."""

import sys

from dnsserver.cli import main

if __name__ == "__main__":
    sys.exit(main())
