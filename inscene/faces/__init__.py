"""Faces: where they are, how they are aligned, whose they are by comparison with references."""
