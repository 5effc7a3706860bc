"""Everything the functions share; imports nothing of the project from outside itself."""

VERSION = "1.0.0"
