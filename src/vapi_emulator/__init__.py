"""Vapi's Sessions API on this machine: data, latency, rate limits and faults to order.

    command ─▶ server ─▶ api ─▶ parameters, bodies, faults ─▶ store ─▶ rows, settings, times
       │          └────▶ live ─┐                                ▲
       └─▶ generate, load ─────┴─▶ conversations ─▶ talk ─▶ texts, planted

The exporter never imports this package; only the command line and the tests do.
"""
