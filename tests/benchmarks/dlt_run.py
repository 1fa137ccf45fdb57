"""dlt's `rest_api` source into DuckDB, in its best configuration. Runs in an environment of its own, `.venv-bench`.

`python dlt_run.py URL DIRECTORY` prints the rows of each table. The configuration, and its reasons:

- pages of 1,000 sessions, the maximum of the source: fewer requests;
- load files are Parquet: the default for DuckDB, INSERT statements as text, takes several times as long;
- two workers normalise, one for each core, because normalising takes most of the time. dlt gives each worker whole files, so
  files have 1,000 sessions: with one file, the default, or a few, one worker has little or nothing to do;
- the one column whose type depends on the row is declared: otherwise the workers infer different types, and dlt discards
  the work of one of them ("Parallel schema update conflict, retrying task");
- files between the stages are not compressed: gzip, the default, takes a fifth of the time or more;
- one load with `replace` into an empty database: no merge and no staging, which is less work than a sync does;
- tried without gain: one worker, one file, files of 2,500 to 10,000 sessions, larger buffers;
- no telemetry, no progress bar, log level WARNING.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

SETTINGS = {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "WARNING",
    "NORMALIZE__WORKERS": "2",
    "DATA_WRITER__DISABLE_COMPRESSION": "true",
    "SOURCES__DATA_WRITER__FILE_MAX_ITEMS": "1000",
    "SOURCES__DATA_WRITER__BUFFER_MAX_ITEMS": "1000",  # a file ends only when a buffer is written to it
    "NORMALIZE__LOADER_FILE_FORMAT": "parquet",
}
#: Most values are whole numbers, some are not.
SECONDS = {"name": "seconds_from_start", "data_type": "double", "nullable": True}


def main() -> None:
    """Load all sessions once."""
    url, directory = sys.argv[1], Path(sys.argv[2])
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)  # the environment can set other values
    import dlt
    from dlt.sources.rest_api import rest_api_source

    source = rest_api_source(
        {
            "client": {
                "base_url": url,
                "auth": {"type": "bearer", "token": os.environ["VAPI_API_KEY"]},
                "paginator": {
                    "type": "page_number",
                    "base_page": 1,
                    "page_param": "page",
                    "total_path": None,
                    "stop_after_empty_page": True,
                },
            },
            "resources": [
                {
                    "name": "sessions",
                    "primary_key": "id",
                    "write_disposition": "replace",
                    "endpoint": {
                        "path": "session",
                        "data_selector": "results",
                        "params": {"limit": 1000, "sortBy": "createdAt", "sortOrder": "ASC"},
                    },
                }
            ],
        }
    )
    source.resources["sessions"].apply_hints(
        nested_hints={"messages": {"columns": {"seconds_from_start": SECONDS}}}
    )
    pipeline = dlt.pipeline(
        pipeline_name="bench",
        pipelines_dir=str(directory / "pipelines"),
        destination=dlt.destinations.duckdb(str(directory / "sessions.duckdb")),
        dataset_name="vapi",
    )
    pipeline.run(source, loader_file_format="parquet")
    counts = pipeline.last_trace.last_normalize_info.row_counts
    print(json.dumps({name: rows for name, rows in counts.items() if not name.startswith("_dlt")}))


if __name__ == "__main__":
    main()
