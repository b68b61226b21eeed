"""Steps of a pipeline that look at faces."""
