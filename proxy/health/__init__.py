"""Health checks: rise and fall, when each server is due, the connects, and what they change."""
