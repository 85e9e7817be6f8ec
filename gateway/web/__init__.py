"""HTTP: applications, their server and listener, resources, and what answers look like.

The domain's errors become status codes here and nowhere else.
"""
