"""Streams that cannot be written, as descriptors; close them after use."""

from __future__ import annotations

import os


def closed_pipe() -> int:
    """The writing end of a pipe that nobody reads from."""
    reads, writes = os.pipe()
    os.close(reads)
    return writes


def full_device() -> int:
    """Where there is no room."""
    return os.open("/dev/full", os.O_WRONLY)


def not_for_writing() -> int:
    """A descriptor of the wrong kind."""
    return os.open(os.devnull, os.O_RDONLY)
