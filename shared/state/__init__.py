"""Checkpoints, fingerprints and the webhook's history, in the table ConnectorCheckpoints."""
