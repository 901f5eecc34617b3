"""Benchmarks: `make bench` prints their tables. Figures that the docs quote come from here."""
