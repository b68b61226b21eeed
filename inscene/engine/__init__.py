"""Runs a recipe over shards of inputs, each exactly once, on one machine or a cluster."""
