"""``python -m viewer``: serve the pages until stopped."""

import sys

from viewer.serve import main

sys.exit(main())
