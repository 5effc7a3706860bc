"""The demo: a week at three vendors."""
