"""Receive a vendor's events: authenticate, parse, deliver or spool, respond."""
