"""Face2Scene: a restored face tells how its whole scene was degraded, and one step restores it.

A model library that can be used alone: tensors in, tensors out. How faces are found, paired with
their restored selves and put into files is :mod:`inscene.restore`'s business.
"""
