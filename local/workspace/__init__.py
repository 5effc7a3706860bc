"""A Log Analytics workspace on this machine."""
