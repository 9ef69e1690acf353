"""Compiled loops: how they are compiled, how that is announced, and the threads that run them."""
