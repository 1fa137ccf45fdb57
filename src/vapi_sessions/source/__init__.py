"""The client of the API: requests, retries, pages, and reading a changing list without loss. Stores nothing."""
