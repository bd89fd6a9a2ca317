"""Looking into a ledger from beside it, and leaving nothing open."""

from __future__ import annotations

import time

from rung.ledger import LedgerFile, requests, spending, statistics
from rung.ledger.budgets import Budgets


def recorded(path):
    with LedgerFile(path) as file:
        return requests(file)


def added_up(path):
    with LedgerFile(path) as file:
        return statistics(file)


def day_and_month(path):
    with LedgerFile(path) as file, file.snapshot() as connection:
        return spending(connection, Budgets(), time.time())
