"""The connection test: steps of each connector and of the destination."""
