"""Orders about how clients get in: limits of the process and of frontends, and closed frontends."""
