"""App settings and Key Vault."""
