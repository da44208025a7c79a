"""Talking to api_svc.

api       stubs, identity, deadlines, pages
resolve   from what people type to resource names
follow    an operation until it is done, whatever breaks in between
"""
