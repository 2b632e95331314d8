"""Side-by-side timings of the library; run with ``python -m benchmarks``."""
