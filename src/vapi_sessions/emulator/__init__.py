"""Vapi's Sessions API on this machine: data, latency, rate limits and faults to order.

    command ─▶ server ─▶ api ─▶ parameters, bodies, faults ─▶ store ─▶ settings, times
       └─▶ live, load, generate ─▶ conversations ─▶ texts        └── (generate, live and load write to the store)

The exporter never imports this package; only the command line and the tests do.
"""
