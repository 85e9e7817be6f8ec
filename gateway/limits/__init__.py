"""What sources do: limits for those that guess at many accounts, followed from `sources`.

No HTTP, no passwords and no database. The rule and its counts are pure: times are passed in.
"""
