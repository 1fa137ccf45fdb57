"""Time, intervals, JSON, files and processes: used by every other package, and aware of none."""
