"""Decides what may be stored: credentials are redacted; personal data and text are kept, masked or dropped.

Pure functions without input or output. `sanitizer` is the entry point.
"""
