"""The scenarios: one file for each value of SCENARIO, which Locust loads by its path.

A file holds the classes of its clients, and a shape of the load where that changes. Code that
several scenarios need lives one folder up. Locust runs each class that a file has, and wants each
class name once: a file that needs the clients of another one imports that module, and makes
subclasses.
"""
