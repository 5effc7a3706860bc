"""Services of one worker process: state, timeout, backoff, circuit breaker."""
