"""``python -m edgebert`` is the ``edgebert`` command."""

import sys

from edgebert.cli import main

sys.exit(main())
