"""Words of conditions: fetches, patterns, `acl` and what follows `if` (manual section 7)."""
