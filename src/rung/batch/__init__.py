"""Jobs over many rows: their manifest, readers and writers, the work itself; shards and their merging.

The manifest is the source of truth: an SQLite file beside the output. It holds every row of the input, every answer,
every call that may be needed again, and the money. The output is written from it as a whole, in the order of the input.
"""
