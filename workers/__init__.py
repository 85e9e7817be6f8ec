"""The partitions' owners: each decides its users' attempts in log order."""
