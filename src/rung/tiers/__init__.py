"""Concrete tiers. Each is an entry point in the group `rung.tiers`; nothing below imports them."""
