"""File descriptors that cannot be written. The caller closes them."""

from __future__ import annotations

import os


def closed_pipe() -> int:
    """The writing end of a pipe without a reader."""
    reads, writes = os.pipe()
    os.close(reads)
    return writes


def full_device() -> int:
    """A device without space."""
    return os.open("/dev/full", os.O_WRONLY)


def not_for_writing() -> int:
    """A descriptor that is open for reading only."""
    return os.open(os.devnull, os.O_RDONLY)
