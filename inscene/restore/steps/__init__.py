"""Steps of a pipeline that restore."""
