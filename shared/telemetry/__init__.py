"""Log events, a run's counters and result, a stream's history."""
