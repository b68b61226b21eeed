"""Stage one: FaDeX learns to tell degradations apart, whoever is in the picture."""
