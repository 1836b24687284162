"""The settings of a configuration: immutable, inherited by every process."""
