"""Prompts: of our own grammar, or of the authors' CSV."""
