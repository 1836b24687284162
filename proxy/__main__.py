"""`python -m proxy`: the same as the command `millrace`."""

import sys

from proxy.cli import main

sys.exit(main())
