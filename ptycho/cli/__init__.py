"""Command lines: parse, one API call, write, exit code."""
