"""`protostar trace`: from OTLP-JSON lines to a waterfall.

spans      a span as a value, read from OTLP-JSON (pure)
files      which spans of which files
tree       spans by parents, whatever is missing (pure)
fold       what a reader need not see (pure)
layout     rows of text and bars on a time axis (pure)
draw       rows on a terminal
"""
