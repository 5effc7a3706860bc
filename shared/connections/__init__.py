"""The connections that are set up: their settings, and how one is opened."""
