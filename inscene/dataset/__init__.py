"""Datasets on disk or behind a URL: where rows come from, how shards are written exactly once."""
