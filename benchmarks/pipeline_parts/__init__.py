"""Parts of the benchmark of the whole path; `benchmarks/pipeline.py` runs them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # for `tools`, which is not in the package
