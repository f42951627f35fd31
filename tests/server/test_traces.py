"""Traces: what is a span, what is part of what, and nothing where none are wished."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as configured
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode, format_trace_id

from schema import asgi
from server import traces

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
LOADS = """
import sys
from schema import asgi
print("opentelemetry.sdk.trace" in sys.modules)
"""


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """What is traced."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    traces.trace_by(provider)
    yield exporter
    traces.trace_by(None)


def ask(query: str, **headers: str) -> Any:
    """The status by which the application answers."""
    body = json.dumps({"query": query, "variables": {"secret": "hunter2"}}).encode()
    sent: list[Any] = []
    given = {"host": "localhost", "content-type": "application/json", **headers}

    async def main() -> None:
        messages = iter([{"type": "http.request", "body": body}])

        async def receive() -> Any:
            return next(messages)

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/graphql",
            "query_string": b"",
            "headers": [(name.encode(), it.encode()) for name, it in given.items()],
            "client": ("127.0.0.1", 1),
        }
        await asgi.application(scope, receive, send)

    asyncio.run(main())
    return sent[0]["status"]


@pytest.mark.django_db(transaction=True)
def test_a_request_its_operation_and_its_statements_are_one_trace(
    spans: InMemorySpanExporter, settings: Any
) -> None:
    User.objects.create(username="ada")
    spans.clear()
    query = (
        "query Mine($secret: String) { modelStream(model: USER, verb: $secret) { totalCount } }"
    )
    assert ask("query Mine { modelStream(model: USER) { totalCount } }", traceparent=PARENT) == 200
    found = spans.get_finished_spans()
    by_name = {span.name: span for span in found}
    request, operation = by_name["POST graphql"], by_name["query Mine"]
    statements = [span for span in found if span.name == "SELECT"]
    assert request.parent is None  # from anyone, so not believed
    assert operation.parent
    assert operation.parent.span_id == request.context.span_id
    assert {span.parent and span.parent.span_id for span in statements} == {
        operation.context.span_id
    }
    attributes = operation.attributes or {}
    assert attributes["graphql.operation.type"] == "query"
    assert attributes["graphql.operation.name"] == "Mine"
    assert attributes["brook.statements"] == len(statements)
    assert (request.attributes or {})["http.response.status_code"] == 200
    said = "".join(span.to_json() for span in found)
    assert "hunter2" not in said
    spans.clear()
    assert ask(query) == 200
    assert "hunter2" not in "".join(span.to_json() for span in spans.get_finished_spans())


@pytest.mark.django_db(transaction=True)
def test_a_trace_of_a_proxy_goes_on(spans: InMemorySpanExporter, settings: Any) -> None:
    settings.PROXIES = 1
    assert ask("query Mine { viewer { id } }", traceparent=PARENT) == 200
    ids = {format_trace_id(span.context.trace_id) for span in spans.get_finished_spans()}
    assert ids == {PARENT.split("-")[1]}


@pytest.mark.django_db(transaction=True)
def test_an_operation_that_fails_is_a_span_that_says_so(spans: InMemorySpanExporter) -> None:
    ask("query Wrong { nothing }")
    [operation] = [it for it in spans.get_finished_spans() if it.name == "query Wrong"]
    assert operation.status.status_code is StatusCode.ERROR
    assert (operation.attributes or {})["error.type"] == "BAD_REQUEST"


@pytest.mark.apart
@pytest.mark.parametrize(
    ("given", "is_loaded"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, True),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "x"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"}, False),
    ],
)
def test_nothing_of_it_is_loaded_unless_the_environment_asks(
    given: dict[str, str], is_loaded: bool
) -> None:
    environment = {
        **{name: it for name, it in os.environ.items() if not name.startswith("OTEL_")},
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PYTHONPATH": str(configured.BASE_DIR),
        **given,
    }
    said = subprocess.run(
        [sys.executable, "-c", LOADS],
        env=environment,
        cwd=configured.BASE_DIR,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert said.stdout.splitlines()[-1:] == [str(is_loaded)], said.stderr


def test_an_exporter_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "zipkin")
    with pytest.raises(ImproperlyConfigured, match="'zipkin'; it is one of none, otlp, console"):
        traces.begin()
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ImproperlyConfigured, match=r"Install brook\[otel\]"):
        traces.begin()
