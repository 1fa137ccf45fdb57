"""Time, intervals, JSON, files and processes. Every other package may use this one; it uses none of them."""
