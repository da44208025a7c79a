"""The order of things: what happens, in which transaction, for each call and for each piece of background work."""
