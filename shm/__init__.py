"""Ground floor: bytes and atomics shared by every process; knows neither DNS nor TCP."""
