"""``python -m viewer``: serve the viewer's pages until stopped."""

import sys

from viewer.server.serve import main

sys.exit(main())
