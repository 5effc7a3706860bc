"""Rows of ConnectorHealth_CL: what each run did."""
