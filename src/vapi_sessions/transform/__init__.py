"""Sessions to rows, and which version of a session wins. Pure."""
