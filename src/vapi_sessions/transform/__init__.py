"""Turns sessions into rows, and decides which version of a session wins. Pure functions without input or output."""
