"""The command line: a table of commands, the check of their words, and their implementations."""
