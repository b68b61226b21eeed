"""Steps that every pipeline may use."""
