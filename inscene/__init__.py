"""InScene builder: datasets, degradations, restoration and benchmarks for human-centric scenes.

Importing this package imports nothing heavy; use the submodules, or the ``inscene`` command.
"""

__version__ = "0.1.0.dev0"
