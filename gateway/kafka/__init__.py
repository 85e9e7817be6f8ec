"""The log from the gateway's side: attempts are produced, their verdicts consumed and awaited.

No HTTP, no passwords and no Postgres.
"""
