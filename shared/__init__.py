"""Everything the functions share; imports nothing of the project from outside itself."""

import logging

VERSION = "1.0.0"

# At info, Azure's SDKs print a page of headers a request: that would drown, and bill for, the log.
logging.getLogger("azure").setLevel(logging.WARNING)
