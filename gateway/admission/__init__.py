"""Which login may spend a hash now, and how many may wait for one.

No hashing, no sockets and no HTTP: pure bookkeeping on a clock that is passed in.
"""
