"""Steps of curation: each scores, then decides."""
