"""Photographs of people, aligned, split by person, packed, and degraded on the fly."""

import sys
from pathlib import Path

if sys.argv[:1] == ["-m"] and not sys.flags.safe_path and sys.path[0] != str(Path(__file__).parents[1]):
    sys.path.append(sys.path.pop(0))  # the working directory, whose engine.py or dataset.py is another's, comes last
