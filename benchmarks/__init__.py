"""Benchmarks of the suite, as ratios to peers that are measured alternately with it."""
