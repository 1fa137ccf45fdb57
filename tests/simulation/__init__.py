"""A model of the source under traffic, faults and stops, and the real engine reading from it on a virtual clock.

    clock        true time, the source's clock and ours, which disagree
    contents     what sessions hold, from plain to odd
    model        the source: versions that become visible late, deletions, retention, the list and its filters
    traffic      what people do to it between any two requests
    faults       what goes wrong with answers
    stops        kills, interruptions and full disks at named points of the engine
    connections  DuckDB for thousands of tiny databases: what takes longer than they do, once a process
    themes       what a world is about, where it is about something
    world        one seed: the parameters, the transport, the runs
    expected     rows derived from raw/ without the engine's own flatten
    invariants   what must hold after every run, and at the end
    mutants      planted mistakes: a suite that cannot fail proves nothing
    connectors   the paging and cursor rules of others, in the same simulator

`python -m tests.simulation --help` replays a seed, soaks, and prints the tables.
"""
