"""The files on disk: `raw` (what was observed), `store` (the writer's database), `publish` (what people open).

Nothing in here knows HTTP or the source.
"""
