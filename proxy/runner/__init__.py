"""The runner: external checks, which are programs, run in a process of their own."""
