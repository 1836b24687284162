"""The words of the global and resolvers sections."""
