"""The embedded default of `compare-models --demo`: small trained networks."""
