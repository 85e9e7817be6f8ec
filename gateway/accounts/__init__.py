"""Import and export of accounts: files on one side, the table of accounts on the other.

A file is read line by line and never as a whole. No HTTP and no Kafka.
"""
