"""The commands of the stats socket."""
