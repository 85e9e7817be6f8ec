"""Passwords and names: their one form, their hashes, and the processes that make and check those.

No HTTP, no Kafka and no Postgres; and nothing here logs a password or keeps one.
"""
