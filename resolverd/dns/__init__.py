"""DNS messages: queries written, replies read, judged and cached (RFC 1035, 6891)."""
