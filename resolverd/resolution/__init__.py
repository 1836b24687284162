"""The runs of one name: attempts, outcomes, and the holds of failures."""
