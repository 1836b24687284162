"""Commands about the process as a whole, beside `show info`."""
