"""One hazard a file: SQL, files."""
