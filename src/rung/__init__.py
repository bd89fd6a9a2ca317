"""rung: answers a prompt on the smallest local model that can, and climbs only when the answer fails validation."""
