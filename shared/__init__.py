"""Everything the functions share; imports nothing of the project from outside itself."""

import gc
import logging
import sys

VERSION = "1.0.0"

# At info, Azure's SDKs print a page of headers a request: that would drown, and bill for, the log.
logging.getLogger("azure").setLevel(logging.WARNING)

# Collect cycles less often: imports leave a hundred thousand objects that stay, and a page is
# thousands of objects without a cycle, freed when it is prepared. With Python's default thresholds
# the collector traverses all live objects several times a cold start, and every few pages.
gc.set_threshold(50_000, 20, 20)

# A thread that has waited for the network asks another for the interpreter after this many seconds.
# With Python's default of 5 ms, a post that is answered beside polls waits so long after each read.
sys.setswitchinterval(0.001)
