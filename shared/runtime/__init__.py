"""What one worker process offers: singletons, time-outs, a circuit breaker."""
