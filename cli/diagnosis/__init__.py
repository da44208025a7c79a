"""`protostar doctor`: what is missing on this machine, and the command that fixes it.

findings   what a check says (pure)
machine    programs, libraries, KVM
place      the data directory and the addresses
packages   which Debian packages to install
"""
