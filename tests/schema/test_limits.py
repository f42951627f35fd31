"""What one request may ask for."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.models.signals import post_save
from django.test import Client
from graphql import get_introspection_query, parse

from schema import catalog, parsing
from schema.errors import MOST_ERRORS, Throttled
from schema.parsing import MOST_CHARACTERS, MOST_LINES, MOST_TOKENS
from schema.shapes import MOST, MOST_DEFINITIONS
from server import buckets
from server.models import Action, action
from tests.schema.client import ask, context_of, gid, gids, refusals, schema
from tests.schema.connections import CONNECTIONS
from tests.server.test_deadlines import ENDLESS
from tests.site.models import Project


def refused(answer: dict[str, Any], *words: str) -> bool:
    """Whether it is refused whole as TOO_COMPLEX, in a message with these words."""
    [error] = answer["errors"]
    assert answer["data"] is None
    assert error["extensions"] == {"code": "TOO_COMPLEX"}
    assert all(word in error["message"] for word in words), error["message"]
    return True


def aliased(number: int, field: str) -> str:
    return " ".join(f"f{at}: {field}" for at in range(number))


def test_ten_thousand_nodes_may_be_asked_for_and_no_more(db: None) -> None:
    page = "modelStream(model: USER, first: 100) { nodes { verb } }"
    assert refusals(ask(f"{{ {aliased(100, page)} }}")) == []
    more = "more: modelStream(model: USER, first: 100) { nodes { actor { id } } }"
    assert refused(ask(f"{{ {aliased(99, page)} {more} }}"), "10100", "10000")


def test_nesting_multiplies(db: None) -> None:
    document = """{ modelStream(model: USER, first: %s) { nodes {
        actor { anyStream(first: 100) { nodes { target { followers(first: %s) {
            nodes { flag } } } } } } } } }"""
    assert refused(ask(document % (20, 5)), "at most")
    inner = """{ modelStream(model: USER, first: 20) { nodes {
        actor { anyStream(first: 1) { nodes { target { followers(first: 100) {
            nodes { flag } } } } } } } } }"""
    assert refusals(ask(inner)) == []


@pytest.mark.parametrize("name", ["first", "last"])
def test_the_size_of_a_page_is_measured_in_a_variable_too(brook: Project, name: str) -> None:
    page = f"modelStream(model: USER, {name}: ${name}) {{ nodes {{ actor {{ id }} }} }}"
    document = f"query (${name}: Int) {{ {aliased(51, page)} }}"
    assert refusals(ask(document, **{name: 98})) == []
    assert refused(ask(document, **{name: 100}), "10200", "10000")
    assert refused(ask(document, **{name: 100.0}), "10200", "10000")
    default = document.replace(f"${name}: Int)", f"${name}: Int = 100)")
    assert refused(ask(default), "10200", "10000")


def create_many(declared: str, given: str, size: int) -> str:
    return f"""mutation {declared} {{ createActions(input: {given}) {{ results {{
        action {{ target {{ followers(first: {size}) {{ nodes {{ flag }} }} }} }} }} }} }}"""


@pytest.mark.parametrize(
    ("declared", "given", "wrap"),
    [
        ("($it: CreateActionsInput!)", "$it", lambda actions: {"actions": actions}),
        ("($it: [ActionInput!]!)", "{actions: $it}", lambda actions: actions),
    ],
    ids=["input", "actions"],
)
def test_what_is_asked_of_each_of_many_new_actions_is_measured(
    ada: User, declared: str, given: str, wrap: Any
) -> None:
    """An action, its target and the target's followers."""
    actions = [{"verb": "woke"}] * 500
    document = create_many(declared, given, 19)
    assert refused(ask(document, ada, it=wrap(actions)), "10500", "10000")
    assert not Action.objects.exists()
    document = create_many(declared, given, 18)
    assert refusals(ask(document, ada, it=wrap(actions))) == []
    assert Action.objects.count() == 500


def test_many_new_actions_that_are_written_out_are_measured(ada: User) -> None:
    actions = '{verb: "woke"} ' * 200
    given = f"{{actions: [{actions}]}}"
    assert refused(ask(create_many("", given, 49), ada), "10200", "10000")
    assert refusals(ask(create_many("", given, 48), ada)) == []


def test_more_new_actions_than_are_allowed_are_refused_for_what_they_are(ada: User) -> None:
    document = create_many("($it: [ActionInput!]!)", "{actions: $it}", 18)
    answer = ask(document, ada, it=[{"verb": "woke"}] * 20_000)
    assert answer["data"]["createActions"]["results"] == []


@pytest.mark.parametrize("given", [None, "x", 7, [], {"actions": None}, {"actions": "x"}, {}])
def test_an_input_of_another_form_is_a_fault_of_the_request(ada: User, given: Any) -> None:
    answer = ask(create_many("($it: CreateActionsInput!)", "$it", 1), ada, it=given)
    assert {code for _, code in refusals(answer)} <= {"BAD_REQUEST", "BAD_USER_INPUT"}
    assert answer["errors"]


def test_a_size_out_of_bounds_is_refused_for_what_it_is(brook: Project) -> None:
    document = "{ modelStream(model: USER, first: 1000000) { nodes { verb } } }"
    assert refusals(ask(document)) == [(["modelStream"], "BAD_USER_INPUT")]


def page_below(connection: str) -> str:
    return f"query ($ids: [ID!]!) {{ nodes(ids: $ids) {{ ... on User {{ {connection} }} }} }}"


@pytest.mark.parametrize(
    "connection",
    [
        str(c.name)
        for c in CONNECTIONS
        if c.holder == "User" and c.name not in ("wrong", "nothing")
    ],
)
def test_a_connection_below_many_nodes_is_cheap_or_refused(
    connection: str, db: None, root: User, django_assert_max_num_queries: Any
) -> None:
    """A few statements for each of twenty at most; below more, together or not at all."""
    most = 61 if connection == "userStream" else 41  # probe, heads and count
    users = [User.objects.create(username=str(number)) for number in range(40)]
    document = page_below(f"{connection}(first: 3) {{ nodes {{ id }} totalCount }}")
    with django_assert_max_num_queries(most):
        assert refusals(ask(document, root, ids=gids(users[:20]))) == []
    with django_assert_max_num_queries(most):
        answer = ask(document, root, ids=gids(users))
    assert {code for _, code in refusals(answer)} <= {"TOO_COMPLEX"}


def test_a_stream_that_cannot_be_read_together_stands_below_twenty_nodes_at_most(
    db: None,
) -> None:
    users = [User.objects.create(username=str(number)) for number in range(21)]
    document = page_below("involving { totalCount }")
    assert refusals(ask(document, ids=gids(users[:20]))) == []
    answer = ask(document, ids=gids(users))
    assert {code for _, code in refusals(answer)} == {"TOO_COMPLEX"}
    message = answer["errors"][0]["message"]
    assert "21" in message
    assert "20" in message


@pytest.mark.parametrize("width", [2, 10])
def test_fragments_that_spread_each_other_are_refused_for_what_they_would_be(width: int) -> None:
    """2^60 and 10^60 fields, were each spread followed."""
    depth = 60
    fragments = [
        f"fragment F{at} on Action {{ {f'...F{at + 1} ' * width} }}" for at in range(depth)
    ]
    fragments.append(f"fragment F{depth} on Action {{ verb }}")
    document = "{ modelStream(model: USER) { nodes { ...F0 } } }" + "".join(fragments)
    assert refused(ask(document), "fields", "5000")


def test_fragments_that_nest_each_other_twice_are_too_many_nodes(
    ada: User, registered: Any
) -> None:
    """An action on itself: each of seven fragments doubles what the response would hold."""
    registered(Action)
    [(_, row)] = action.send(ada, verb="woke")
    Action.objects.filter(pk=row.pk).update(
        target_content_type=ContentType.objects.get_for_model(row), target_object_id=str(row.pk)
    )
    depth = 7
    fragments = [
        f"fragment F{at} on Action {{ a: target {{ ...F{at + 1} }} b: target {{ ...F{at + 1} }} }}"
        for at in range(depth)
    ]
    fragments.append(f"fragment F{depth} on Action {{ verb }}")
    document = "query ($ids: [ID!]!) { nodes(ids: $ids) { ...F0 } }" + "".join(fragments)
    assert refused(ask(document, ids=[gid(row)] * 40), str(40 * (2**8 - 1)), "10000")
    assert refusals(ask(document, ids=[gid(row)] * 39)) == []


def test_many_tokens_are_refused_before_they_are_read(db: None) -> None:
    answer = ask("{ " + "__typename " * 6_000 + "}")
    assert answer["data"] is None
    [error] = answer["errors"]
    assert error["extensions"]["code"] in ("BAD_REQUEST", "TOO_COMPLEX")
    assert "5000" in error["message"]
    assert refusals(ask(f"{{ {aliased(100, '__typename')} }}")) == []


@pytest.mark.parametrize("depth", [400, 1_200, 2_400])
def test_a_query_that_nests_deep_is_a_bad_request(db: None, depth: int) -> None:
    answer = ask("{ a" * depth + "}" * depth)
    assert answer["data"] is None
    assert {error["extensions"]["code"] for error in answer["errors"]} <= {
        "BAD_REQUEST",
        "TOO_COMPLEX",
    }


def test_introspection_does_not_multiply(db: None) -> None:
    """Each level of fields and their types would multiply the response by tens."""
    inner = "name"
    for _ in range(6):
        inner = f"fields {{ type {{ ofType {{ {inner} }} {inner} }} }}"
        if len(inner) > 3_000:
            break
    answer = ask(f"{{ __schema {{ types {{ {inner} }} }} }}")
    assert answer["data"] is None
    assert answer["errors"]


def test_the_introspection_of_tools_is_answered(db: None) -> None:
    assert "errors" not in ask(get_introspection_query())


def test_the_operation_that_runs_is_the_one_that_is_measured(db: None) -> None:
    page = "modelStream(model: USER, first: 100) { nodes { actor { id } } }"
    document = f"query Large {{ {aliased(51, page)} }} query Small {{ {page} }}"

    def codes(name: str) -> list[Any]:
        result = schema.execute_sync(document, operation_name=name, context_value=context_of(None))
        return [error.extensions and error.extensions["code"] for error in result.errors or ()]

    assert codes("Small") == []
    assert codes("Large") == ["TOO_COMPLEX"]


def nested(depth: int) -> str:
    return "{ viewer " + "{ f " * (depth - 1) + "}" * depth


def fragments(number: int) -> str:
    """Each spread once, each of one field."""
    spreads = " ".join(f"...F{at}" for at in range(number))
    return f"{{ {spreads} }}" + " ".join(
        f"fragment F{at} on Query {{ __typename }}" for at in range(number)
    )


def written_out(number: int) -> str:
    """So many fields: a fragment of ninety-nine, a few times, and the rest."""
    times, rest = divmod(number - 100, 100)
    spreads = " ".join(f"v{n}: viewer {{ ...F }}" for n in range(times))
    return f"{{ {spreads} viewer {{ {'id ' * (rest)} }} }} fragment F on User {{ {'id ' * 99} }}"


#: What is counted, its bound, and a document that has so many of it.
BOUNDS: dict[str, tuple[int, Callable[[int], str]]] = {
    "root fields": (MOST.roots, lambda n: f"{{ {aliased(n, '__typename')} }}"),
    "fields in its text": (
        MOST.written,
        lambda n: f"{{ viewer {{ {'id ' * (n - 1)} }} }}",
    ),
    "fields with its fragments written out": (MOST.fields, written_out),
    "aliases": (MOST.aliases, lambda n: f"{{ viewer {{ {aliased(n, 'id')} }} }}"),
    "directives": (
        MOST.directives,
        lambda n: f"{{ viewer {{ {'id @skip(if: false) ' * n} }} }}",
    ),
    "arguments": (MOST.arguments, lambda n: f"{{ viewer {{ id({'a: 1 ' * n}) }} }}"),
    "variables": (
        MOST.arguments,
        lambda n: f"query ({' '.join(f'$v{at}: ID' for at in range(n))}) {{ __typename }}",
    ),
    "spreads": (
        MOST.spreads,
        lambda n: f"{{ viewer {{ {'...F ' * n} }} }} fragment F on User {{ id }}",
    ),
    "deep": (MOST.depth, nested),
    "operations and fragments": (MOST_DEFINITIONS, lambda n: fragments(n - 1)),
    "characters": (MOST_CHARACTERS, lambda n: "{ viewer { id } }".ljust(n)),
    "lines": (MOST_LINES, lambda n: "{ viewer { id } }" + "\n" * n),
    "tokens": (MOST_TOKENS, lambda n: f"{{ viewer {{ {' ' + 'id ' * (n - 5)} }} }}"),
}


@pytest.mark.parametrize("what", BOUNDS)
def test_a_document_has_so_much_and_no_more(what: str, db: None) -> None:
    """What is refused for another reason behind the bound is not beyond the bound."""
    most, document = BOUNDS[what]
    if what not in ("operations and fragments", "tokens"):
        assert "at most" not in str(ask(document(most)))
    beyond = ask(document(most + 1))
    assert beyond["data"] is None
    [error] = beyond["errors"]
    assert error["extensions"]["code"] in ("TOO_COMPLEX", "BAD_REQUEST")
    assert str(most) in error["message"]


def test_the_documentation_says_these_bounds() -> None:
    text = (django_settings.BASE_DIR / "docs" / "limits.md").read_text()
    rows = re.findall(r"^\| (.+) \| ([\d,]+) \|$", text, re.MULTILINE)
    said = {what: int(most.replace(",", "")) for what, most in rows}
    bounds = {what: most for what, (most, _) in BOUNDS.items() if what != "variables"}
    bounds["arguments, and variables"] = bounds.pop("arguments")
    bounds["depth of fields within fields"] = bounds.pop("deep")
    assert said == bounds


def test_what_a_fragment_holds_counts_wherever_it_is_spread() -> None:
    document = f"{{ {aliased(50, 'viewer { ...F }')} }} fragment F on User {{ {'id ' * 100} }}"
    assert refused(ask(document), "5150 fields")  # and the fragment once itself


@pytest.mark.parametrize(
    "document",
    [
        "{ viewer { ...F } } fragment F on User { id ...F }",
        "{ viewer { ...F } } fragment F on User { ...G } fragment G on User { ...F }",
        "{ viewer { id } } fragment F on User { ...F }",
        "{ viewer { ...F0 } }"
        + "".join(f"fragment F{at} on User {{ ...F{(at + 1) % 150} }}" for at in range(150)),
    ],
)
def test_a_fragment_that_spreads_itself_is_a_bad_request(document: str) -> None:
    answer = ask(document)
    assert [code for _, code in refusals(answer)] == ["BAD_REQUEST"]
    assert "spreads itself" in answer["errors"][0]["message"]


#: Documents that would be dear to validate, were they not refused before, or validation bounded.
HOSTILE = {
    "one field very often": "{" + "__typename " * 4_990 + "}",
    "one object very often": "{" + "modelStream(model: USER) { nodes { verb id } } " * 99 + "}",
    "many aliases": f"{{ {aliased(1_600, '__typename')} }}",
    "one alias for different fields": "{"
    + " ".join(f"a{n % 7}: f{n}" for n in range(1_200))
    + "}",
    "fragments of one field": fragments(400),
    "a chain of fragments": "{ ...F0 }"
    + "".join(f"fragment F{n} on Query {{ ...F{n + 1} }}" for n in range(600)),
    "fragments that spread all others": "{ ...F0 }"
    + "".join(
        f"fragment F{n} on Query {{ {' '.join(f'...F{m}' for m in range(n + 1, 60))} viewer }}"
        for n in range(60)
    ),
    "one argument very often": "{ modelStream(" + "first: 1 " * 1_600 + ") { totalCount } }",
    "unknown fields": "{" + " ".join(f"f{n}" for n in range(4_900)) + "}",
    "directives": "{ __typename " + "@x " * 2_400 + "}",
    "empty lines": "\n" * 45_000 + "{ a b c d e f }",
    "a string of a megabyte": '{ node(id: "' + "x" * 1_000_000 + '") { id } }',
    "lists in lists": "{ a(x:" + "[" * 2_000 + "]" * 2_000 + ") }",
    "inline fragments": "{" + "... on Query {" * 900 + "__typename" + "}" * 901,
    "operations": "".join(f"query Q{n} {{ ...F0 }}" for n in range(350))
    + "".join(f"fragment F{n} on Query {{ ...F{n + 1} }}" for n in range(300)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_document_is_refused_by_few_steps(name: str) -> None:
    """Python's function calls, where the parser takes a hundred thousand for the longest."""
    calls = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        answer = ask(HOSTILE[name])
    finally:
        sys.setprofile(None)
    assert answer["data"] is None
    assert {code for _, code in refusals(answer)} <= {"TOO_COMPLEX", "BAD_REQUEST"}
    assert calls < 300_000


def test_an_answer_has_five_errors_at_most(ada: User) -> None:
    answer = ask("{" + " ".join(f"f{n}" for n in range(50)) + "}")
    assert [code for _, code in refusals(answer)] == ["BAD_REQUEST"] * MOST_ERRORS
    wrong = ask(f"{{ {aliased(20, 'userStream { totalCount }')} }}")
    assert [code for _, code in refusals(wrong)] == ["UNAUTHENTICATED"] * MOST_ERRORS


@pytest.mark.parametrize(
    ("document", "variables"),
    [
        ("{ viewr { id } }", {}),
        ("{ viewer { idd } }", {}),
        ("{ modelStream(modl: USER) { totalCount } }", {}),
        ("{ modelStream(model: USERR) { totalCount } }", {}),
        ("{ modelStream(model: USER, filter: {verb: 1}) { totalCount } }", {}),
        ("{ viewer { ... on Usr { id } } }", {}),
        ("query ($m: NodeTyp!) { modelStream(model: $m) { totalCount } }", {}),
        ("{ viewer { id @skipp } }", {}),
        ("query ($m: NodeType!) { modelStream(model: $m) { totalCount } }", {"m": "USERR"}),
        (
            "query ($f: ActionFilter) { modelStream(model: USER, filter: $f) { totalCount } }",
            {"f": {"verb": 1}},
        ),
    ],
)
def test_an_error_does_not_say_what_else_there_is(document: str, variables: Any) -> None:
    answer = ask(document, None, **variables)
    assert answer["errors"]
    assert "Did you mean" not in str(answer)


def test_a_document_is_read_once(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []

    def listen(text: str, **options: Any) -> Any:
        read.append(text)
        return parse(text, **options)

    monkeypatch.setattr(parsing, "parse", listen)
    document = "query Once { viewer { id username } }"
    assert ask(document) == ask(document)
    assert read == [document]


def test_documents_are_kept_as_long_as_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "MOST_KEPT_CHARACTERS", 50)
    kept = parsing.Documents(schema._schema)
    texts = ["{ viewer { id } }", "{ viewer { url } }", "{ viewer { username } }"]
    for text in texts:
        kept.read(text)
    assert list(kept.kept) == texts[1:]
    assert kept.characters == len("".join(texts[1:]))
    kept.read("{ viewer { nonsense } }")
    assert list(kept.kept) == texts[1:], "what is not valid is not kept"


# The rate


@pytest.fixture
def poor(settings: Any) -> Iterator[None]:
    """Two hundred points for everybody, no more for hours, and nothing read."""
    settings.RATE_LIMIT, settings.RATE_BURST, settings.REDIS_URL = 0.001, 200, ""
    buckets._buckets.cache_clear()
    vars(schema).pop("documents", None)
    yield
    buckets._buckets.cache_clear()


#: 45 points: a page for 5, and 20 nodes with their actors.
PAGE = "{ modelStream(model: USER, first: 20) { nodes { actor { id } } } }"


def test_who_asks_for_too_much_is_throttled(poor: None, ada: User, bob: User) -> None:
    answers = [ask(PAGE, ada) for _ in range(5)]
    assert [refusals(answer) for answer in answers[:3]] == [[], [], []]
    assert [refusals(answer) for answer in answers[3:]] == [[(None, "THROTTLED")]] * 2
    assert answers[3]["data"] is None
    assert refusals(ask(PAGE, bob)) == [], "each has a bucket of their own"
    assert refusals(ask(PAGE)) == [], "and a client without a session by its address"


def test_a_throttled_request_is_told_when_to_come_back(poor: None, ada: User) -> None:
    for _ in range(4):
        result = schema.execute_sync(PAGE, context_value=context_of(ada))
    [fault] = result.errors or []
    assert isinstance(fault, Throttled)
    assert fault.status == 429
    assert int(fault.headers["Retry-After"]) > 1_000


def test_what_is_refused_for_its_document_costs_too(poor: None, ada: User) -> None:
    """Reading it was work; and it is not read again when there is nothing left."""
    answers = [ask(f"{{ nothing{number} }}", ada) for number in range(5)]
    assert [code for answer in answers for _, code in refusals(answer)] == [
        *["BAD_REQUEST"] * 4,
        "THROTTLED",
    ]


def test_without_a_rate_nobody_is_throttled(ada: User) -> None:
    assert [refusals(ask(PAGE, ada)) for _ in range(100)] == [[]] * 100


# The time


def slow(*_: Any, **__: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(ENDLESS[connection.vendor])


def test_an_operation_that_takes_too_long_is_stopped(
    ada: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.TIME_LIMIT = 0.2
    monkeypatch.setattr(catalog.node_type(User), "get_queryset", slow)
    action.send(ada, verb="woke")
    answer = ask("{ modelStream(model: USER) { nodes { verb actor { id } } } }", ada)
    assert {code for _, code in refusals(answer)} == {"TIMEOUT"}
    assert "0.2 seconds" in answer["errors"][0]["message"]


def test_a_mutation_that_takes_too_long_has_done_nothing(
    ada: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.TIME_LIMIT = 0.2
    post_save.connect(slow, sender=Action)
    try:
        answer = ask('mutation { createAction(input: {verb: "woke"}) { created } }', ada)
    finally:
        post_save.disconnect(slow, sender=Action)
    assert [code for _, code in refusals(answer)] == ["TIMEOUT"]
    assert not Action.objects.exists()


def test_resolvers_that_take_too_long_are_stopped_between_each_other(
    settings: Any, db: None
) -> None:
    settings.TIME_LIMIT = 1e-9
    answer = ask("{ __schema { types { name fields { name } } } }")
    assert {code for _, code in refusals(answer)} == {"TIMEOUT"}


def test_http_says_when_to_come_back(poor: None, client: Client, db: None) -> None:
    """Status 429 whatever media type is wanted, where a fault of the document may be a 200."""
    for _ in range(5):
        answer = client.post("/graphql", {"query": PAGE}, "application/json")
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 1_000
    assert [error["extensions"]["code"] for error in answer.json()["errors"]] == ["THROTTLED"]


def test_http_says_the_cost_where_it_is_wanted(client: Client, db: None) -> None:
    body = {"query": PAGE, "extensions": {"cost": True}}
    answer = client.post("/graphql", body, "application/json")
    assert answer.json()["extensions"] == {"cost": {"requested": 45, "actual": 5, "most": 20_000}}
