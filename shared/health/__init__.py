"""Health rows: each run's result in ConnectorHealth_CL."""
