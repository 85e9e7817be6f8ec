"""A real Kafka and a real PostgreSQL on a machine that has neither, nor Docker.

`make up` lives here: downloads, data, ports, the parts and their order, the terminal's lines. No
other package may import it, but `bench` and the tests: in production there is nothing of it.
"""
