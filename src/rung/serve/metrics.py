"""Metrics for Prometheus. No label has a prompt, an answer, or a name that a client chose."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from rung.serve.queueing import Queue
from rung.types import AttemptEnded, Event, Finished

_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """The metrics of one server. `told` is an observer of its ladder."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._answers = self._counter("rung_http_answers", "Answers over HTTP.", "route", "status")
        self._requests = self._counter("rung_requests", "Requests to the ladder.", "accepted", "reason")
        self._attempts = self._counter("rung_attempts", "Attempts on tiers.", "tier", "verdict", "reason")
        self._tokens = self._counter("rung_tokens", "Tokens of attempts, as far as they are known.", "tier", "kind")
        self._cost = self._counter("rung_cost_usd", "US dollars of attempts, as far as they are known.", "tier")
        self._seconds = Histogram(
            "rung_request_seconds", "Wall time of requests.", buckets=_SECONDS, registry=self._registry
        )
        self._running = Gauge("rung_running", "Requests that are worked on.", registry=self._registry)
        self._waiting = Gauge("rung_waiting", "Requests that wait for their turn.", registry=self._registry)

    def follow(self, queue: Queue) -> None:
        """Report how many requests a queue has, whenever the metrics are asked for.

        Args:
            queue: of the server.
        """
        self._running.set_function(lambda: queue.running)
        self._waiting.set_function(lambda: queue.waiting)

    def answered(self, route: str, status: int) -> None:
        """Count an answer over HTTP.

        Args:
            route: the path of the matching route. A client's own path would add a time series for each spelling.
            status: of the answer.
        """
        self._answers.labels(route, str(status)).inc()

    def told(self, event: Event) -> None:
        """Count an event of the ladder."""
        if isinstance(event, AttemptEnded):
            attempt = event.attempt
            verdict = "" if attempt.verdict is None else str(attempt.verdict)
            self._attempts.labels(attempt.tier, verdict, str(attempt.reason)).inc()
            for kind, count in (("input", attempt.usage.input_tokens), ("output", attempt.usage.output_tokens)):
                if count and attempt.sent:
                    self._tokens.labels(attempt.tier, kind).inc(count)
            if attempt.cost and attempt.sent:
                self._cost.labels(attempt.tier).inc(float(attempt.cost))
        elif isinstance(event, Finished):
            outcome = event.outcome
            self._requests.labels(str(outcome.accepted).lower(), str(outcome.reason)).inc()
            self._seconds.observe(outcome.seconds)

    def text(self) -> tuple[bytes, str]:
        """The metrics in the format of Prometheus, and its media type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(name, about, labels, registry=self._registry)
