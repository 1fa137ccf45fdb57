"""The command line: one module a command in `commands`; options, output, progress, exit codes, signals."""
