"""How quick, how small and how cheap the connectors are, measured on local servers."""
