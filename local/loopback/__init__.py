"""HTTP servers on loopback: services, faults, certificates."""
