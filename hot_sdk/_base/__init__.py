"""What every floor uses and no user imports: files, records, command lines, progress, tables."""
