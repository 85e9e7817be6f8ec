"""Confirms the audit: a second program for the same policy, which knows nothing of the workers.

It replays what was asked, compares what was decided, and checks the seals of the batches. The tests
judge whole systems by the same replay (tests/harness/oracle.py).
"""
