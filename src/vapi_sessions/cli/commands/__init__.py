"""One module a command: its options, the call of its operation, and what it prints."""
