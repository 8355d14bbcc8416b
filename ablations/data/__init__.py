"""Data: each source is decoded once into a store of uint8 pixels, and read from it in batches.

``store.prepare`` is the entry point; ``loading`` reads batches. The module of a source is named
after its value of ``data.source``, offers ``read``, and is imported only when a store is built.
"""
