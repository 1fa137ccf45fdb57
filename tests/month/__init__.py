"""A month of scheduled runs against a source that lives on, on a clock that jumps from one run to the next.

`python -m tests.month` prints a table with a line for each day: sizes, numbers of files, memory, and how long a run without changes
takes. They must stay flat, except what grows with the data.
"""
