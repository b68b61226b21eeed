"""Image quality metrics: how near a restored image is to the clean one, and how good it looks."""
