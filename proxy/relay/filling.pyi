"""The module has no names for Python; its functions are in filling.pxd."""
