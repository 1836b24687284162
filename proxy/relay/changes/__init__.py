"""What a change of a server does to the sessions that it has."""
