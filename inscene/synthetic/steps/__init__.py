"""Steps of a pipeline that makes scenes from identities."""
