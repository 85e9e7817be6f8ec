"""What operators' commands do: policy, quarantine, partitions. `cerrojo` is how they are called.

They talk to the workers through the log and Postgres only.
"""
