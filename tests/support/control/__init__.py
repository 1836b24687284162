"""A control process alone, and beside HAProxy."""
