"""HTTP for vendors and Azure: sessions of requests, and response headers."""
