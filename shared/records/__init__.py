"""A record: its JSON, its times, its declared fields, its size limit."""
