"""The vendors on loopback: their APIs, their made-up records, and their part in the demo."""
