"""How things look.

terminal   where output goes: answers to stdout, everything said on the way to stderr
words      durations, sizes, ages, enum names (pure)
tables     columns of text
messages   protobuf messages as JSON
steps      an operation as it goes
outcomes   how an operation ended (pure)
errors     what went wrong
hints      and what to do about it (pure)
"""
