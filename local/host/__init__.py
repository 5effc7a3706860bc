"""The Functions host on this machine."""
