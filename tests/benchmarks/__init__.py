"""Time and memory of a sync as ratios: to downloading alone, to dlt, and to other syncs.

    words        sentences and ids
    pages        sessions of several kinds as JSON text, the same for the same seed
    dataset      sessions on disk with their later versions, ready to be sent
    server       sends a data set in a process of its own, at almost no cost
    replay       starts and controls that process
    measure      wall time, CPU time and memory of a process and its children
    download     the lower bound: the same pages through httpx, not used further
    parts        the least work: each page once through the libraries that every sync needs
    dlt_run      the alternative: dlt in its best configuration, in an environment of its own
    inside       syncs with a clock of their own, or with measurements inside
    bench        what scenarios share: data sets, warehouses, commands
    scenarios    one function for each scenario, with the bounds of its figures
    outcome      figures, bounds, the table and the JSON file

and as ratios to another commit:

    trees        the source code of commits and of the working tree, each in a directory
    against      the cases: each tree runs them in turns on the same input
    ratios       medians, spreads and ratios; docs/performance.md

`python -m tests.benchmarks --help`, or `make bench`; `python -m tests.benchmarks against --help`, or `make bench AGAINST=<commit>`.
"""
