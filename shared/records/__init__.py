"""One record: its bytes, its times, its limits."""
