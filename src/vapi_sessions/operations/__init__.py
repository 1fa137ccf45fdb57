"""The commands, one module each, and modules that several commands share."""
