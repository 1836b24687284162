"""DNS to slots: asks nameservers and decides which address a server has.

Imports shm, msgspec and uvloop, never proxy.
"""
