"""Two hundred sessions of which it is known who did what, to measure signals by."""
