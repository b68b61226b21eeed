"""Synthetic scenes with known faces: plan, generate, judge, tag."""
