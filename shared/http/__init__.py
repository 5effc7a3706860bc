"""Sessions of requests, and headers."""
