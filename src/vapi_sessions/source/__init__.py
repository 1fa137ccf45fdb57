"""The API: requests, retries, pages, and how a changing list is read without loss. Nothing here stores anything."""
