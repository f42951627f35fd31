"""Traces by OpenTelemetry, where it is installed and the environment says where they go.

It does by OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or OTEL_TRACES_EXPORTER;
the other variables of the specification count then. Else nothing of it is imported, and a span is
nothing.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.backends.signals import connection_created

logger = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
EXPORTERS = ("none", "otlp", "console")

_NOTHING = nullcontext()
_provider: Any = None
_tracer: Any = None


def begin() -> None:
    """Trace, where that is wished; raises ImproperlyConfigured where it cannot be done."""
    exporter = os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if not exporter and any(os.environ.get(name) for name in ENDPOINTS):
        exporter = "otlp"
    is_off = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if is_off or exporter in ("", "none"):
        return
    if exporter not in EXPORTERS:
        raise ImproperlyConfigured(
            f"OTEL_TRACES_EXPORTER is {exporter!r}; it is one of {', '.join(EXPORTERS)}."
        )
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
    except ImportError as error:
        raise ImproperlyConfigured(
            f"The environment asks for traces, and OpenTelemetry is not there: {error}. "
            "Install brook[otel]."
        ) from error
    os.environ.setdefault("OTEL_SERVICE_NAME", "brook")
    provider = TracerProvider(resource=Resource.create())
    provider.add_span_processor(
        BatchSpanProcessor(ConsoleSpanExporter() if exporter == "console" else OTLPSpanExporter())
    )
    trace_by(provider)


@asynccontextmanager
async def sent() -> AsyncIterator[None]:
    """See that all that was traced is sent when the block ends."""
    try:
        yield
    finally:
        if _provider is not None:
            await asyncio.to_thread(_provider.shutdown)


def trace_by(provider: Any) -> None:
    """Trace by a provider of OpenTelemetry's; None: not any more."""
    global _provider, _tracer
    _provider, _tracer = provider, provider and provider.get_tracer("brook")
    if provider is None:
        connection_created.disconnect(_watch, dispatch_uid=__name__)
        return
    connection_created.connect(_watch, dispatch_uid=__name__)
    for connection in connections.all(initialized_only=True):
        _watch(None, connection)


def span(name: str, kind: str = "INTERNAL", carrier: Mapping[str, str] | None = None) -> Any:
    """A context manager whose value is the span, of which all within is a part; None without.

    The ``carrier`` has the headers that say of which trace it is itself a part.
    """
    return _NOTHING if _tracer is None else _span(name, kind, carrier)


def ids() -> dict[str, str]:
    """Of the trace and the span that run here, for the log."""
    if _tracer is None:
        return {}
    from opentelemetry import trace

    here = trace.get_current_span().get_span_context()
    if not here.is_valid:
        return {}
    return {
        "trace_id": trace.format_trace_id(here.trace_id),
        "span_id": trace.format_span_id(here.span_id),
    }


@contextmanager
def _span(name: str, kind: str, carrier: Mapping[str, str] | None) -> Iterator[Any]:
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    parent = TraceContextTextMapPropagator().extract(carrier) if carrier else None
    # What an exception says may be a person's; its kind is in the status.
    with _tracer.start_as_current_span(
        name, parent, SpanKind[kind], record_exception=False, set_status_on_exception=False
    ) as here:
        try:
            yield here
        except Exception as error:
            _failed(here, type(error).__name__)
            raise


def _failed(here: Any, kind: str) -> None:
    from opentelemetry.trace import StatusCode

    here.set_attribute("error.type", kind)
    here.set_status(StatusCode.ERROR)


def failed(here: Any, kind: str) -> None:
    """Say that what a span is about went wrong."""
    if here is not None:
        _failed(here, kind)


def _watch(sender: object, connection: Any, **kwargs: Any) -> None:
    if _statement not in connection.execute_wrappers:
        connection.execute_wrappers.append(_statement)


def _statement(
    execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Mapping[str, Any]
) -> Any:
    """Django's wrapper of a statement: with its text, in which values have no part."""
    text = str(sql)
    with span(text.partition(" ")[0], "CLIENT") as here:
        if here is not None:
            here.set_attributes(
                {
                    "db.system.name": context["connection"].vendor,
                    "db.query.text": text,
                }
            )
        return execute(sql, params, many, context)
