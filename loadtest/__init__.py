"""Load tests that are also proofs: each run of a Locust scenario is judged at its end.

The code that prepares, records, judges and reports a run lives here, and the scenarios in a folder
of their own. The system is known by its two URLs only: nothing of its code is imported.
"""
