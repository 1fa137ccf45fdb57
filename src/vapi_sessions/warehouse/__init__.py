"""The files on disk: `raw` (what was observed), `index` (what the writer knows), `publish` (what people open).

Nothing in here knows HTTP or the source.
"""
