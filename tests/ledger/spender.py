"""A process of an app that spends: `spender.py LEDGER URL KEY BUDGET REQUESTS`. Prints a line for each request."""

from __future__ import annotations

import sys

import rung
from rung import Ladder, Ledger, Price, Zone

PRICE = Price(10, 10)


def main(path: str, url: str, key: str, budget: str, requests: int) -> None:
    # on loopback, and yet it counts as far away
    cloud = rung.openai("m", base_url=url, api_key=key, zone=Zone.INTERNET, price=PRICE, max_tokens=200)
    ledger = Ledger(path, per_day=budget)
    with ledger, Ladder(cloud, reach=Zone.INTERNET, purse=ledger, observers=[ledger]) as ladder:
        for number in range(requests):
            print(number, ladder.run("Well?").reason, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]))
