"""Mutated pages through client, sanitizer and warehouse: `python -m tests.fuzz --seconds 60`."""
