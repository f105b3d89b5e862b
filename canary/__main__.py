"""`canary` and `python -m canary`."""

import sys

from canary.cli.group import run


def main() -> None:
    """Run the command line and end the process with its exit status."""
    sys.exit(run())


if __name__ == "__main__":
    main()
