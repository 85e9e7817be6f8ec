"""The blocklist: which accounts are blocked, followed from `blocks`, starting at a snapshot.

No HTTP and no passwords. Postgres is read for the snapshot only.
"""
