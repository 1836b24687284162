"""The settings that a configuration becomes: immutable, inherited by every process."""
