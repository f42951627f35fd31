"""A seeded world: always the same, skewed as people are, and never twice."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from io import StringIO
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from django.db import connection

from server import worlds
from server.models import Action, Follow
from server.seeding import Seeding
from server.worlds import RARE_VERB, SeedError, World

NUMBERS = {"users": 300, "actions": 3_000, "follows": 2_000}

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that even a small world is written in several."""
    monkeypatch.setattr(worlds, "BATCH", 250)


def seed(**options: Any) -> str:
    out = StringIO()
    call_command("seed", stdout=out, **{**NUMBERS, **options})
    return out.getvalue()


def written(using: str = "default") -> list[Any]:
    """Every row, with names in the place of ids."""
    types = dict(ContentType.objects.using(using).values_list("pk", "model"))
    names: dict[str, dict[str, str]] = {
        "user": {str(u.pk): u.username for u in User.objects.using(using).all()},
        "group": {str(g.pk): g.name for g in Group.objects.using(using).all()},
    }

    def name(type_id: int | None, object_id: str | None) -> str | None:
        return type_id and names[types[type_id]][object_id]  # type: ignore[index, return-value]

    follows = [
        (f.user.username, name(f.content_type_id, f.object_id), f.actor_only, f.flag, f.started)
        for f in Follow.objects.using(using).select_related("user").order_by("pk")
    ]
    actions = [
        (
            name(a.actor_content_type_id, a.actor_object_id),
            a.verb,
            name(a.target_content_type_id, a.target_object_id),
            name(a.action_object_content_type_id, a.action_object_object_id),
            a.timestamp,
            a.public,
            a.data,
        )
        for a in Action.objects.using(using).order_by("pk")
    ]
    users = list(
        User.objects.using(using)
        .order_by("pk")
        .values_list("username", "password", "date_joined", "is_staff")
    )
    return [users, sorted(names["group"].values()), follows, actions]


@pytest.mark.django_db(databases=["default", "other"])
def test_the_same_seed_is_the_same_world_in_another_database() -> None:
    seed()
    seed(database="other")
    assert written() == written("other")


@pytest.mark.django_db(databases=["default", "other"])
def test_another_seed_is_another_world() -> None:
    seed()
    seed(database="other", seed=2)
    assert written()[2] != written("other")[2]
    assert written()[3][1:] != written("other")[3][1:]


@pytest.mark.django_db(databases=["default", "other"])
@pytest.mark.parametrize("kind", ["users", "follows", "actions"])
def test_what_was_interrupted_goes_on_and_ends_equal(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed(database="other")
    step = Seeding._step

    def interrupted(self: Seeding, now: str, before: int, after: int, write: Any) -> None:
        def written_and_interrupted() -> None:
            write()
            if now == kind and after > 250:
                raise KeyboardInterrupt

        step(self, now, before, after, written_and_interrupted)

    monkeypatch.setattr(Seeding, "_step", interrupted)
    with pytest.raises(CommandError, match="go on from here"):
        seed()
    monkeypatch.setattr(Seeding, "_step", step)
    assert Action.objects.count() < 3_000
    seed()
    assert written() == written("other")


def test_what_is_complete_stays_as_it_is() -> None:
    seed()
    before = written()
    assert "Nothing to do: 300 users" in seed()
    assert written() == before


def test_it_writes_exactly_what_was_asked_for_beside_what_is_there(ada: User) -> None:
    seed()
    kept = Action.objects.get(idempotency_key="seeded")
    assert (User.objects.count(), Follow.objects.count(), Action.objects.count()) == (
        301,
        2_000,
        3_000,
    )
    assert (kept.public, kept.data["written"]) == (False, NUMBERS)
    assert not any(user.has_usable_password() for user in User.objects.exclude(pk=ada.pk)[:5])


def test_another_world_is_refused_with_the_numbers_of_the_one_that_is_there() -> None:
    seed()
    with pytest.raises(CommandError, match="--users 300 --actions 3000 --follows 2000") as refused:
        seed(users=301)
    assert "seed an empty database" in str(refused.value)


def test_somebody_elses_users_are_not_taken_over() -> None:
    User.objects.create(username="seed-0000001")
    with pytest.raises(CommandError, match="user seed-0000001 that no seeding has made"):
        seed()


def test_a_world_of_which_a_user_is_gone_is_not_completed() -> None:
    seed()
    User.objects.get(username="seed-0000007").delete()
    with pytest.raises(CommandError, match="User seed-0000007 is gone"):
        seed()


@pytest.mark.parametrize(
    ("numbers", "refusal"),
    [
        ({"users": 1}, "--users is at least 2 and at most 9999999; this is 1."),
        ({"users": 10_000_000}, "this is 10000000."),
        ({"actions": 0}, "--actions is at least 1"),
        ({"follows": -1}, "--follows is at least 0 and at most 89700"),
        ({"follows": 89_701}, "at most 89700, as many as 300 users can follow each other; this"),
        ({"dormant": 0.91}, "--dormant is at least 0 and at most 0.9; this is 0.91."),
        ({"dormant": float("nan")}, "this is nan."),
        ({"private": 1.5}, "--private is at least 0 and at most 1; this is 1.5."),
    ],
)
def test_a_number_out_of_bounds_is_refused_with_its_limit(
    numbers: dict[str, Any], refusal: str
) -> None:
    with pytest.raises(CommandError) as refused:
        seed(**numbers)
    assert refusal in str(refused.value)
    assert not User.objects.exists()


@pytest.mark.parametrize("end", ["yesterday", "2999-01-01", "0001-01-01"])
def test_a_bad_end_is_refused(end: str) -> None:
    arguments = [f"--{name}={number}" for name, number in NUMBERS.items()]
    with pytest.raises(CommandError, match="--end"):
        call_command("seed", *arguments, f"--end={end}")


@pytest.mark.parametrize(
    ("users", "follows"), [(2, 0), (2, 2), (10, 90), (130, 130 * 129), (450, 450 * 449 - 3)]
)
def test_every_possible_number_of_follows_is_met_exactly(users: int, follows: int) -> None:
    world = World(users=users, actions=1, follows=follows)
    pairs = [row[:2] for row in chain.from_iterable(map(world.followed, range(users)))]
    assert len(pairs) == len(set(pairs)) == follows
    assert all(follower != followed for follower, followed in pairs)


def test_a_few_do_most_of_what_is_done() -> None:
    world = World(users=2_000, actions=20_000, follows=20_000)
    rows = list(chain.from_iterable(map(world.done, range(0, 20_000, worlds.BATCH))))
    assert len(rows) == 19_999  # and the record
    for role in (0, 2):
        counts = [n for _, n in Counter(row[role] for row in rows).most_common()]
        assert sum(counts[:20]) > sum(counts) / 4
    followed = Counter(row[1] for n in range(2_000) for row in world.followed(n))
    assert sum(n for _, n in followed.most_common(20)) > 20_000 / 5
    assert max(world.degrees) > 10 * sorted(world.degrees)[1_000]


def test_dormant_users_take_part_in_the_oldest_tenth_of_the_time_alone() -> None:
    world = World(users=500, actions=10_000, follows=0)
    tenth, dormant, late = world.start + timedelta(days=36.5), set(world.dormants), Counter[bool]()
    acted = set()
    for actor, _, target, action_object, at, _ in chain.from_iterable(
        map(world.done, range(0, 10_000, worlds.BATCH))
    ):
        named = {actor, target, action_object} & dormant
        late[at >= tenth] += bool(named)
        acted |= {actor} & dormant
    assert acted == dormant
    assert late[True] == 0 < late[False]


def test_times_run_on_from_start_to_end_and_some_are_equal() -> None:
    world = World(users=50, actions=2_000, follows=0)
    times = [row[4] for n in range(0, 2_000, worlds.BATCH) for row in world.done(n)]
    assert times == sorted(times)
    assert world.start <= times[0] <= times[-1] <= world.end
    assert 20 < sum(a == b for a, b in pairwise(times)) < 120


def test_verbs_are_several_with_a_rare_one_and_some_actions_are_private() -> None:
    world = World(users=50, actions=5_000, follows=0)
    rows = [row for n in range(0, 5_000, worlds.BATCH) for row in world.done(n)]
    verbs = Counter(row[1] for row in rows)
    assert verbs[RARE_VERB] == 1
    assert len(verbs) == 7
    assert 150 < sum(not row[5] for row in rows) < 350


def test_it_says_whom_to_ask_about_and_follows_are_of_exactly_that_many(tmp_path: Path) -> None:
    path = tmp_path / "seeded.json"
    said = seed(users=1_500, actions=2_000, follows=6_000, dormant=0.1, json=path)
    found = json.loads(path.read_text())
    assert found["world"]["users"] == 1_500
    kinds = Counter(user["kind"] for user in found["users"])
    assert kinds == {"busy": 3, "quiet": 3, "dormant": 3, "reader": 3}
    readers = {
        (user["active_follows"], user["dormant_follows"], user["group_follows"])
        for user in found["users"]
        if user["kind"] == "reader"
    }
    assert readers == {(100, 0, 0), (0, 100, 0), (1_000, 0, 0)}
    for user in found["users"]:
        row = User.objects.get(pk=user["id"])
        assert user["username"] == row.username
        assert user["username"] in said
        assert user["actions"] == row.actor_actions.count()
        assert user["followers"] == row.incoming_follows.count()
        follows = sum(user[f"{of}_follows"] for of in ("active", "dormant", "group"))
        assert follows == row.outgoing_follows.count()
    busy, *_, quiet = [u["actions"] for u in found["users"] if u["kind"] in ("busy", "quiet")]
    assert busy > 50 * quiet


def test_a_directory_that_is_not_there_is_said_before_anything_is_written() -> None:
    with pytest.raises(CommandError, match="there is no directory /nowhere"):
        seed(json=Path("/nowhere/seeded.json"))
    assert not User.objects.exists()


def test_the_smallest_world_is_one() -> None:
    assert "2 users (0 of them dormant)" in seed(users=2, actions=1, follows=1)
    assert Action.objects.get().verb == "seeded"


def test_two_who_seed_at_once_do_not_write_twice() -> None:
    seeds = Seeding(World(**NUMBERS), "default")  # type: ignore[arg-type]
    rows = seeds.run
    seed(actions=3_000)
    with pytest.raises(SeedError, match="Somebody else seeds"):
        seeds._step("actions", 250, 500, lambda: None)
    assert rows(lambda kind, n: None) == {"users": 0, "follows": 0, "actions": 0}


def test_the_planner_is_told() -> None:
    seed()
    catalogue = {"sqlite": "sqlite_stat1 WHERE tbl", "postgresql": "pg_stats WHERE tablename"}
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM {catalogue[connection.vendor]} = 'activity_action'")
        assert cursor.fetchone()[0] > 0
