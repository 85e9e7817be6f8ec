"""A real Kafka and a real PostgreSQL on a machine that has neither, nor Docker."""
