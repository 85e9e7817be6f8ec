"""Load tests that are also proofs: Locust scenarios, each run judged at its end."""
