"""What a command does: one module a command, and what several of them share."""
