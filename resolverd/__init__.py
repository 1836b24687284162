"""DNS to slots: everything that asks nameservers and decides which address a server has.

Imports shm and the standard library's neighbours (msgspec, uvloop), never proxy.
"""
