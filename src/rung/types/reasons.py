"""Why things happened, in one word: the reasons of verdicts and the codes of issues."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why an attempt got its verdict, or why a request ended. A rule of your own may give any other string."""

    VALID = "valid"
    CHECK = "check"
    SAME_ISSUES = "same_issues"
    LOW_CONFIDENCE = "low_confidence"
    CUT_OFF = "cut_off"
    REFUSAL = "refusal"
    EMPTY = "empty"
    LOOPING = "looping"
    STALLED = "stalled"
    BEYOND_REACH = "beyond_reach"
    CONSENT_REFUSED = "consent_refused"
    OVER_BUDGET = "over_budget"
    OVER_QUOTA = "over_quota"
    LOCAL_UNAVAILABLE = "local_unavailable"
    CANCELLED = "cancelled"
    DEADLINE = "deadline"
    NO_TIER = "no_tier"


class IssueCode(StrEnum):
    """Who says that an answer is wrong. A validator's issues have the code `check:NAME`, or one of its own."""

    SCHEMA = "schema"
    TYPE = "type"
    CUT_OFF = "cut_off"
    EMPTY = "empty"
    REFUSAL = "refusal"
    LOOPING = "looping"
    ECHO = "echo"
    CONTROL_TOKENS = "control_tokens"
    TOO_LONG = "too_long"
    SURROGATES = "surrogates"
