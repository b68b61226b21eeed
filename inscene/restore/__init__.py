"""The layer above the model library: faces are found in scenes, restored and paired."""
