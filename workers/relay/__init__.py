"""The relay: makes events of what the audit has, and publishes them to the topic `events`.

No login waits for it: it reads what is committed. It decides nothing, and writes no table of the
decisions.
"""
