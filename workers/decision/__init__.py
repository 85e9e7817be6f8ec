"""Decides attempts by lock states and a policy.

Pure: no clock, no I/O, no Kafka and no SQL.
"""
