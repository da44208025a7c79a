"""The process that keeps the services alive; standard library only, so that it stays small and may fork safely.

plan        what is to run, as a value (pure)
restarts    when to try again (pure)
supervise   the loop: start, reap, restart, stop in order
lock        one supervisor per data directory, and how to find it
linux       what the kernel offers for this: subreaper, parent-death signal, /proc
ports       whether an address is free, and who has it
logs        a log file per service
"""
