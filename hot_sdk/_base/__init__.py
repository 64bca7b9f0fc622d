"""Private helpers for every part: files, records, command lines, progress, tables."""
