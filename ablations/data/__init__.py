"""Decode each data set once into a store of uint8 pixels, and read batches from the store.

``store.prepare`` is the entry point; ``loading`` reads batches. Each value of ``data.source`` names
a module with a function ``read``. Modules that need large libraries are imported only when a store
is built.
"""
