"""The ``inscene`` command. Each command parses, loads a recipe and calls one function.

Nothing heavy is imported before a command runs: ``inscene --help`` answers at once.
"""

from inscene.cli.app import main

__all__ = ["main"]
