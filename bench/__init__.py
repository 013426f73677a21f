"""Measures what the gateway costs. `scripts/bench`, or `python -m bench`; README.md says what each figure means."""
