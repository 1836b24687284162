"""Conditions that are run: one evaluator, compiled, for every process that has rules."""
