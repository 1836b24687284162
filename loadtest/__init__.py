"""Black-box load test: runs Millrace and its peers under the same loads and compares the costs.

It uses only the programs' command lines, their ports and /proc, never their code. `python -m
loadtest` runs it; `loadtest/README.md` describes the measurements.
"""
