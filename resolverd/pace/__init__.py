"""The deadlines of runs, their number at a time, and their durations."""
