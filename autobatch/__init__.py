"""How many items fit into memory at once, and what to do when they do not."""
