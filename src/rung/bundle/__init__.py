"""Kits for machines without a network: made here, carried over, installed there by `install.py` alone."""

from rung.bundle.create import Kit, Order, create
from rung.bundle.diff import Difference, diff
from rung.bundle.platforms import Platform
from rung.bundle.verify import verify

__all__ = ["Difference", "Kit", "Order", "Platform", "create", "diff", "verify"]
