"""A dataset as one HTML page: its funnel, its scores, its pictures."""
