"""Parts of the benchmark of the whole path; `benchmarks/pipeline.py` runs them."""
