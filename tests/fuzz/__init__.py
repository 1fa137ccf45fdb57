"""Mutated pages against everything between the wire and the files: `python -m tests.fuzz --seconds 60`."""
