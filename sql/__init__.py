"""The schema: numbered, forward-only migrations in plain SQL, and their application."""
