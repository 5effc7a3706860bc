"""The one way both timers work: windows, walked in ascending order, committed after delivery."""
