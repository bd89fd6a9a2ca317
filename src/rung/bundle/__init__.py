"""Kits for machines without a network: made here, carried over, installed there by `install.py` alone."""

from rung.bundle.comparing import Difference, diff
from rung.bundle.creating import Kit, KitOrder, create
from rung.bundle.platforms import Platform
from rung.bundle.verifying import verify

__all__ = ["Difference", "Kit", "KitOrder", "Platform", "create", "diff", "verify"]
