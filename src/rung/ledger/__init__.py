"""The ledger: what happened and what it cost, in one SQLite file that several processes share.

A `Ledger` is an observer, which records every request, and a `Purse`, which keeps budgets per day and month. Prompts
and answers are in it only if `content` is turned on. Money is kept in whole pico-dollars. If a price has up to six
decimals per million tokens, a token costs a whole number of them, so that sums in SQL are exact.
"""

from rung.ledger.budgets import Spending, spending, spending_of
from rung.ledger.conversations import asked, conversation
from rung.ledger.exporting import as_object, chats
from rung.ledger.figures import Savings, Statistics, TierStatistics, statistics
from rung.ledger.file import LedgerFile, user_ledger
from rung.ledger.labels import label, unlabel
from rung.ledger.ledger import Ledger
from rung.ledger.purging import content_held, purge
from rung.ledger.records import AttemptRecord, LabelRecord, RequestRecord
from rung.ledger.rows import asked_since, find, requests

__all__ = [
    "AttemptRecord",
    "LabelRecord",
    "Ledger",
    "LedgerFile",
    "RequestRecord",
    "Savings",
    "Spending",
    "Statistics",
    "TierStatistics",
    "as_object",
    "asked",
    "asked_since",
    "chats",
    "content_held",
    "conversation",
    "find",
    "label",
    "purge",
    "requests",
    "spending",
    "spending_of",
    "statistics",
    "unlabel",
    "user_ledger",
]
