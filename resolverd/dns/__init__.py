"""DNS messages: written, read, judged, and remembered by their bytes (RFC 1035, 6891)."""
