"""What settings and arguments must satisfy."""
