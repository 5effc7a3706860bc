"""Azure on loopback: Monitor, Entra, storage."""
