"""/graphql over WebSocket: graphql-transport-ws.

https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md, with the codes by which a
connection is closed:

    1009  a message of more than MOST_BYTES
    1012  the server stops: come again
    1013  the client takes less than it is sent, a token cannot be verified now, or the database is
          away: come again
    4400  no message of the protocol
    4401  an operation before the connection is acknowledged
    4403  a token that is not good, or not any more; a session that is over, or not used from here
    4406  another subprotocol
    4408  no connection_init within INIT_SECONDS
    4409  an operation's id that is in use
    4429  a second connection_init
    4500  something went wrong on our side
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import Error
from graphql import GraphQLError
from strawberry.channels import GraphQLWSConsumer
from strawberry.channels.handlers.ws_handler import ChannelsWebSocketAdapter
from strawberry.http.exceptions import NonJsonMessageReceived, NonTextMessageReceived
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import (
    BaseGraphQLTransportWSHandler,
    Operation,
)
from strawberry.types.execution import PreExecutionError

from server import access, addresses, connections, metrics, tallies
from server.outboxes import FullError, Outbox
from server.threads import in_thread

from . import operations, requests, responses
from .authentication import (
    CannotVerify,
    authenticate,
    may_connect,
    request_of,
    until_unknown,
)
from .context import Context
from .errors import HttpFault, Later, RequestFault, TooComplex, presentable
from .requests import GraphQLRequest

logger = logging.getLogger(__name__)

#: Of one message, in UTF-8.
MOST_BYTES = 128 * 1024
#: Messages of a client that wait for us; more stay where they are.
MOST_WAITING = 8
#: Operations of a connection at once, subscriptions and others.
MOST_OPERATIONS = 50
INIT_SECONDS = 10
#: Bytes of why a connection is closed, for which a frame has room.
LONGEST_REASON = 123


class Adapter(ChannelsWebSocketAdapter):
    """Messages in, and messages out through an outbox; nothing either way after the close."""

    def __init__(self, view: Any, request: Any, response: Any) -> None:
        super().__init__(view, request, response)
        self.outbox: Outbox[str] = Outbox(settings.LIVE_BUFFER)
        self.closing: tuple[int, str] | None = None
        self.sender = asyncio.create_task(self._send())
        view.adapter = self

    async def iter_json(
        self, *, ignore_parsing_errors: bool = False
    ) -> AsyncGenerator[object, None]:
        async with aclosing(self._messages()) as messages:
            async for message in messages:
                if self.closing is not None:
                    return
                yield message

    async def _messages(self) -> AsyncGenerator[object, None]:
        while True:
            received = await self.ws_consumer.message_queue.get()
            if received["disconnected"]:
                return
            if received["message"] is None:
                raise NonTextMessageReceived
            try:
                message = json.loads(received["message"])
            except (ValueError, RecursionError) as error:
                raise NonJsonMessageReceived from error
            yield message

    async def send_json(self, message: Mapping[str, object]) -> None:
        try:
            self.outbox.put(responses.encoded(message).decode())
        except FullError:
            metrics.OVERRUNS.labels("websocket").inc()
            self._close(1013, "Too slow: resume by after.", now=True)

    async def close(self, code: int, reason: str) -> None:
        self._close(code, reason)

    def _close(self, code: int, reason: str, *, now: bool = False) -> None:
        if self.closing is None:
            self.closing = code, fitting(reason)
            self.outbox.end(now=now)
            with suppress(asyncio.QueueFull):  # then there is one more, at which it is seen
                self.ws_consumer.message_queue.put_nowait({"message": None, "disconnected": True})

    async def _send(self) -> None:
        send = connections.in_time(self.ws_consumer.base_send)
        try:
            async for part in self.outbox:
                await send({"type": "websocket.send", "text": part})
            if self.closing is not None:
                code, reason = self.closing
                await send({"type": "websocket.close", "code": code, "reason": reason})
        except (connections.GoneError, OSError):
            self.closing = self.closing or (1006, "")

    async def finish(self) -> None:
        """Wait until what is to be sent is sent, or cannot be."""
        self.outbox.end()
        await self.sender


def fitting(reason: str) -> str:
    """A reason of at most LONGEST_REASON bytes."""
    return reason.encode()[:LONGEST_REASON].decode(errors="ignore")


class Handler(BaseGraphQLTransportWSHandler[Any, Any]):
    """Strawberry's protocol, with our door: requests, documents, limits, errors and codes."""

    watch: asyncio.Task[None] | None = None

    async def handle_message(self, message: Any) -> None:
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            await self.handle_invalid_message("A message is an object with a type.")
        else:
            await super().handle_message(message)  # type: ignore[arg-type]

    async def handle_connection_init(self, message: Any) -> None:
        if message.get("payload", {}) is None:
            message = {"type": message["type"]}
        if not self.connection_init_received:
            fault = await self._authenticate(message.get("payload", {}))
            if fault is not None:
                await self._end(fault)
                return
        await super().handle_connection_init(message)
        if self.connection_acknowledged and self.watch is None:
            self.watch = asyncio.create_task(self._until_unknown())

    async def _authenticate(self, payload: Any) -> GraphQLError | None:
        request = self.context.request
        given = payload if isinstance(payload, dict) else {}
        for name, value in given.items():
            if name.lower() == "authorization":
                request.META["HTTP_AUTHORIZATION"] = str(value)
        try:
            await in_thread(authenticate, request)
        except RequestFault as fault:
            return fault
        except Error as error:
            return presentable(error)
        return None

    async def _until_unknown(self) -> None:
        try:
            await until_unknown(self.context.request)
        except RequestFault as fault:
            await self._end(fault)

    async def _end(self, fault: GraphQLError) -> None:
        code = 1013 if isinstance(fault, CannotVerify | Later) else 4403
        await self.websocket.close(code, fault.message)

    async def handle_subscribe(self, message: Any) -> None:
        if not self.connection_acknowledged:
            await self.websocket.close(4401, "Unauthorized")
            return
        name = message.get("id")
        if not isinstance(name, str) or not name:
            await self.handle_invalid_message("An operation has an id, a string.")
            return
        if name in self.operations:
            await self.websocket.close(4409, f"Subscriber for {name} already exists")
            return
        try:
            asked = requests.parameters(message.get("payload"), what="The payload")
        except HttpFault as fault:
            await self.handle_invalid_message(fault.message)
            return
        if len(self.operations) >= MOST_OPERATIONS:
            most = f"A connection has at most {MOST_OPERATIONS} operations at once."
            error = {"id": name, "type": "error", "payload": [TooComplex(most).formatted]}
            await self.send_message(error)  # type: ignore[arg-type]
            return
        operation = Asked(self, name, asked)
        self.operations[name] = operation
        operation.task = asyncio.create_task(self.run_operation(operation))
        operation.task.add_done_callback(self._task_done)

    async def handle_complete(self, message: Any) -> None:
        if not isinstance(message.get("id"), str):
            await self.handle_invalid_message("What completes is named by its id, a string.")
        else:
            await super().handle_complete(message)

    async def handle_invalid_message(self, error_message: str) -> None:
        await self.websocket.close(4400, error_message)

    async def run_operation(self, operation: Any) -> None:
        with access.operation():
            await self._answer(operation)

    async def _answer(self, operation: Any) -> None:
        try:
            results = operations.results(operation.asked, self.context.request)
            async with aclosing(results):
                async for result in results:
                    if isinstance(result, PreExecutionError):
                        await operation.send_initial_errors(result.errors)
                        return
                    await operation.send_next(result)
            await operation.send_operation_message({"id": operation.id, "type": "complete"})
        except Exception as error:
            await operation.send_initial_errors([presentable(error)])

    async def shutdown(self) -> None:
        if self.watch is not None:
            self.watch.cancel()
            with suppress(asyncio.CancelledError):
                await self.watch
        await super().shutdown()


class Asked(Operation[Any, Any]):
    """An operation, and the request for it."""

    def __init__(self, handler: Handler, id: str, asked: GraphQLRequest) -> None:
        super().__init__(handler, id, "", None, None)
        self.asked = asked


async def nowhere(scope: Any, receive: Any, send: Any) -> None:
    """Refuse a connection to another address."""
    await receive()
    await send({"type": "websocket.close"})


class Consumer(GraphQLWSConsumer[Any, Any]):
    """One connection."""

    #: None: what happens comes to a process, not to each connection.
    channel_layer_alias = ""
    websocket_adapter_class = Adapter
    graphql_transport_ws_handler_class = Handler

    def __init__(self) -> None:
        from . import schema

        super().__init__(
            schema,
            subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL],
            connection_init_wait_timeout=timedelta(seconds=INIT_SECONDS),
        )
        self.message_queue = asyncio.Queue(MOST_WAITING)
        self.adapter: Adapter | None = None

    async def connect(self) -> None:
        self.request = request_of(self.scope)
        if (tally := tallies.current()) is not None:
            tally.said["route"] = "graphql"
        address = addresses.client(self.request)
        if not may_connect(self.request):
            await self._refuse(403)
        elif connections.are_enough(address):
            await self._refuse(429)
        else:
            self.run_task = asyncio.create_task(self._run(address))

    async def accept(self, *args: Any, **kwargs: Any) -> None:
        try:
            await super().accept(*args, **kwargs)
        except OSError as error:  # the server's, for a client that has left meanwhile
            raise connections.GoneError from error

    async def _refuse(self, status: int) -> None:
        if "websocket.http.response" not in self.scope.get("extensions", {}):
            await self.close()
            return
        start = {"type": "websocket.http.response.start", "status": status, "headers": []}
        await self.base_send(start)
        await self.base_send({"type": "websocket.http.response.body", "body": b""})

    async def _run(self, address: str) -> None:
        with connections.counted(address):
            try:
                await self.run(self)
            except connections.GoneError:
                pass
            except Exception:
                logger.exception("A connection failed.")
                if self.adapter is not None:
                    await self.adapter.close(4500, "Something went wrong on our side.")
            finally:
                if self.adapter is not None:
                    await self.adapter.finish()
                while not self.message_queue.empty():  # whoever puts into it goes on
                    self.message_queue.get_nowait()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        size = len(text_data.encode()) if text_data else len(bytes_data or b"")
        if size > MOST_BYTES and self.adapter is not None:
            await self.adapter.close(1009, f"A message has at most {MOST_BYTES} bytes.")
        elif self.run_task is not None and not self.run_task.done():
            await self.message_queue.put({"message": text_data, "disconnected": False})

    async def disconnect(self, code: int) -> None:
        if self.run_task is not None:
            if not self.run_task.done():
                await self.message_queue.put({"message": None, "disconnected": True})
            await self.run_task

    def _check_websocket_origin(self, request: Any) -> bool:
        return True  # looked at before

    async def get_context(self, request: Any, response: Any) -> Context:
        return Context(self.request)
