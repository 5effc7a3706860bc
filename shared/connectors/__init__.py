"""A vendor each: its settings, streams, requests and pages; no Azure."""
