"""How fast, and how large in memory, in ratios: against downloading alone, against dlt, and against itself.

    words        sentences to say, and ids
    pages        sessions of several mixes as JSON text, the same for the same seed
    dataset      sessions on disk with their later versions, ready to be sent
    server       replays a data set in a process of its own, at next to no cost
    replay       that process as seen from here
    measure      wall, CPU and memory of a process and all it starts
    download     the floor: the same pages by httpx, and nothing done with them
    parts        the least: each page once through what no sync can do without
    dlt_run      the present choice: dlt in its best configuration, in an environment of its own
    inside       syncs that need a clock of their own, or a look inside
    bench        what scenarios share: data sets, warehouses, commands
    scenarios    one function for each row that is to be reached
    outcome      figures, bounds, the table and the JSON file

and in ratios against another commit:

    trees        source code of a commit and the present one, each in a directory, and their commands
    against      the cases: what is run by each tree in turns, on the same input
    ratios       medians, spreads and ratios; docs/performance.md

`python -m tests.benchmarks --help`, or `make bench`; `python -m tests.benchmarks against --help`, or `make bench AGAINST=<commit>`.
"""
