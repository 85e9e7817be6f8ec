"""How fast Cerrojo is, each row beside its limit: `python -m bench` (`make bench`).

A row is a module `pNN_...`; `bench.costs` and `bench.plan` say what a size takes. Code that the
system needs may not live here: nothing imports `bench`, and each row drives processes from outside.
"""
