"""What this machine has, and what each command would need of it."""
