"""The report: one self-contained HTML file about what conversations cost, how they go, and who comes back.

`figures` asks the published views, `charts` draws (one function a chart), `transcripts` reads single sessions, `html_page` puts
them into `page.html`, and `report_file` does all of it. Needs the extra `[report]`; only `charts` and `html_page` import it.
"""
