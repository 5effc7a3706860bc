"""HTTP servers on loopback, and what can go wrong with them."""
