"""How objects show themselves: in one line, and in a notebook as a table with pictures."""
