"""Log events, a run's result, its history."""
