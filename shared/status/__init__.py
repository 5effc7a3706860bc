"""What a person asks of the app: how it does, whether its connections work, to send again."""
