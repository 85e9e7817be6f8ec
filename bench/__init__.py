"""How fast, against the limits, in one run each: `python -m bench.NAME`."""
