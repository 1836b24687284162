"""Black-box load test: starts Millrace and its peers on the same work and compares what it costs.

It knows the programs only by their command lines, their ports and /proc, never by their code.
`python -m loadtest` runs it; `loadtest/README.md` says what is measured and how.
"""
