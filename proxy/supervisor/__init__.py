"""The process tree, the listening sockets and reload: what one host's Millrace hangs on."""
