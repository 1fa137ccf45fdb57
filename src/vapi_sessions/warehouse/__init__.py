"""The files of a warehouse.

`raw` has the observations, `index` the writer's database, `staging` and `parts` the rows on their way to the published files,
`snapshots` and `views` what readers open through `reader`. Nothing here knows HTTP or the source.
"""
