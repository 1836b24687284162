"""Variables of sessions: their memory, and converters that look at them."""
