"""The steps of ``inscene build raw``."""
