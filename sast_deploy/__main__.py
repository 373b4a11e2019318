"""`python -m sast_deploy` is `sast-deploy`. Needs no other package, so it can say which one is missing."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point; see `sast_deploy.cli.main`."""
    try:
        from sast_deploy.cli import main as start
    except ImportError as error:
        from sast_deploy.base.text import printable
        from sast_deploy.base.versions import missing_package

        problem = missing_package(error)
        print(f"error: {printable(problem)}", file=sys.stderr)
        sys.exit(problem.exit_code)
    except KeyboardInterrupt:
        from sast_deploy.base.errors import Exit

        sys.exit(Exit.INTERRUPTED)
    start()


if __name__ == "__main__":
    main()
