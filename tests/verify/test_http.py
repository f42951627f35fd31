"""What others have written to try a GraphQL server over HTTP."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from typing import Any

import httpx
import pytest
from django.conf import settings
from graphql import get_introspection_query
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as sampling
from hypothesis import strategies as st

from tests.clients.server import needs
from tests.verify.conftest import Proof, Site, log_in

AUDIT = settings.BASE_DIR / "tests/clients/audit"
#: Brook takes by GET only documents that it knows.
NOT_APPLICABLE = {
    "5A70": "MAY accept application/x-www-form-urlencoded formatted GET requests",
    "D6D5": "MAY allow URL-encoded JSON string {variables} parameter in GETs "
    "when accepting application/graphql-response+json",
    "6A70": "MAY allow URL-encoded JSON string {variables} parameter in GETs "
    "when accepting application/json",
}
OPERATIONS = 1_000


@needs("npm")
def test_graphql_over_http_is_spoken_to_the_letter(demo: Site, proof: Proof) -> None:
    for command in (["npm", "ci"], ["node", "audit.mjs", f"{demo.url}/graphql"]):
        done = subprocess.run(command, cwd=AUDIT, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
    audits = json.loads(done.stdout)
    failed = {audit["id"]: audit["name"] for audit in audits if audit["status"] != "ok"}
    assert failed == NOT_APPLICABLE
    kept = Counter(audit["name"].split()[0] for audit in audits if audit["status"] == "ok")
    proof(
        "graphql-http's audits",
        f"{kept['MUST']} MUST, {kept['SHOULD']} SHOULD, {kept['MAY']} MAY; "
        f"{len(failed)} MAY of queries by GET do not apply",
    )


def test_schemathesis_finds_no_fault_of_ours(demo: Site, proof: Proof) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    asked = httpx.post(f"{demo.url}/graphql", json={"query": get_introspection_query()})
    schema = schemathesis.graphql.from_dict(asked.json()["data"])
    fields = [found.ok() for found in schema.get_all_operations()]
    outcomes: Counter[str] = Counter()
    clients = [httpx.Client(base_url=demo.url, timeout=60) for _ in range(2)]

    @given(
        case=st.one_of([field.as_strategy() for field in fields]),
        client=st.sampled_from(clients),
    )
    @sampling(
        max_examples=OPERATIONS,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: Any, client: httpx.Client) -> None:
        response = client.post("/graphql", json={"query": case.body})
        errors = response.json().get("errors", [])
        codes = {error["extensions"]["code"] for error in errors}
        assert response.status_code < 500, response.text
        assert "INTERNAL" not in codes, response.text
        outcomes.update(codes or {"data"})

    with clients[0], clients[1] as member:
        log_in(member, demo.username, demo.password)
        ask()
    assert outcomes["data"] > OPERATIONS / 10
    assert sum(outcomes.values()) >= OPERATIONS
    told = ", ".join(f"{count} {code}" for code, count in outcomes.most_common())
    proof(f"schemathesis, {len(fields)} fields", f"{OPERATIONS} operations: {told}")
