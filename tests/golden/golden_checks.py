"""Checks and types of the person's own, as they stand in the working folder."""

from __future__ import annotations

from pydantic import BaseModel


class Person(BaseModel):
    name: str
    age: int


def good(value):
    """The same complaint about every answer."""
    return None if "good" in str(value) else "the word good is missing"


def better(value):
    """A complaint of its own about each answer."""
    return None if "good" in str(value) else f"{value} isn't good"


def grown_up(value):
    if value.age < 18:
        raise ValueError("must be 18 or older")


def with_card(value):
    return None if "card" in value else f"the card of {value['to']} is missing"


def broken(value):
    raise KeyError("a bug of the person's own")


def refuses_all(value):
    return "nothing will do"
