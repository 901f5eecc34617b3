"""Structured fuzzing with a saved corpus: `python -m tests.fuzz --help`; `test_fuzz.py` is the test suite's share."""
