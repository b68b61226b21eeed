"""Training the scene restorer, from scenes and face pairs to a checkpoint."""
