"""The commands, one file per noun.

arguments   parameters that several commands share, and their completion
conclude    what becomes of an accepted operation
"""
