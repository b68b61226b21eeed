"""Training Face2Scene: FaDeX first, then the restorer.

A run is a folder (:mod:`~inscene.training.run_folder`) in which :mod:`~inscene.training.loop`
takes a :class:`~inscene.training.loop.Task` from step to step. Whatever ends it, the same command
goes on from its last checkpoint, on the same sequence of batches.
"""
