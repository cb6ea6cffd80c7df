"""`python -m attach_ai`."""

from __future__ import annotations

import sys

from attach_ai.cli import main

sys.exit(main())
