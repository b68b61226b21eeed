"""The page's sections as HTML."""
