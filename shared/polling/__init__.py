"""The engine of the timers: read windows in ascending order, commit after delivery."""
