"""Runs restoration methods over pairs, scores them, and tells how they compare."""
