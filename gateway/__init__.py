"""HTTP in, verdict out: the login port, the operator port, and what they need."""
