"""A file for each resource, a function for each endpoint."""
