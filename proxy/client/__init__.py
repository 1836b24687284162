"""Commands that ask a program which runs already; they start none, and load no configuration."""
