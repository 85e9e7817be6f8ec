"""The supervisor: runs one process for each partition that the consumer group gives this host.

It starts, watches and replaces the workers, and decides no attempt.
"""
