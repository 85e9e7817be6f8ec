"""Postgres from the gateway's side: the pool, the accounts, and what operators ask.

A query is a function that takes the connection first. Lock states are only read.
"""
