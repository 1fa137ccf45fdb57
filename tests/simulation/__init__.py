"""The real engine reads from a model of the source on a virtual clock, under traffic, faults and stops.

Read in this order:

    clock        true time, the clock of the source and ours, which disagree
    contents     what sessions contain, from plain to odd
    model        the source: versions that become visible late, deletions, retention, the list and its filters
    traffic      what happens to the source between two requests
    faults       what goes wrong with answers
    stops        kills, interruptions and full disks at named points of the engine
    parameters   what a seed decides
    themes       parameters that make one kind of trouble likely
    transport    one request: the model answers, with or without a fault
    engine       what is replaced in the engine: sizes, the order of pages, hooks
    record       what is recorded of a run
    world        one seed from beginning to end
    observed     the databases of the warehouse, opened from outside
    expected     rows derived from raw/ without the engine's own flatten
    claims       what the ledger may claim
    published    what readers may see
    invariants   what must hold after every run and at the end

    merged       raw files that were merged say what the small ones said

    mutants      planted mistakes: a test suite that cannot fail proves nothing
    connectors   the paging and cursor rules of other connectors in the same simulator
    running      many seeds on all cores
    coverage     what must have happened in some seed
    trace        prints one seed
    connections  DuckDB connections and views that are made once a process

`python -m tests.simulation --help` replays a seed, runs many, and prints the tables.
"""
