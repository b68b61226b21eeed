"""Photographs of people curated into scenes: steps, tables, duplicates and splits."""
