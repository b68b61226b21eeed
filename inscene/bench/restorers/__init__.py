"""Restorers that need no weights: the floor that a learned method must beat.

Each is a function of an LQ image, (h, w, 3) 8-bit sRGB, and the wanted size, (width, height) in px.
"""
