"""The world outside, one hazard per file: the database, and the three services behind this one."""
