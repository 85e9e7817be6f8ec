"""The schema: numbered, forward-only migrations in plain SQL, and the code that applies them.

How to connect, and the number of partitions on which all agree, live here, too. Queries of one side
only may not: they are in `gateway.postgres` and `workers.partition.store`.
"""
