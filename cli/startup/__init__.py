"""`protostar up` as a person sees it.

launch      start a supervisor, hear what it tells
readiness   whether the services serve
board       the services coming up, on a terminal or line by line
startup     until everything serves, or it is clear that it will not
run         the whole of the command: up, in front, and down again
"""
