"""What deploy/ says, done: no container engine is needed, but for the images themselves."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from tests.clients.server import needs
from tests.servers import serving
from tests.verify.conftest import Proof, clean_environment

DEPLOY = settings.BASE_DIR / "deploy"
UNITS = ["brook@.service", "brook-migrate.service"]
#: What a running server needs that is no module.
NEEDED = [
    "schema/static/graphiql/graphiql.js",
    "schema/static/live/live.js",
    "schema/templates/graphiql/page.html",
    "schema/templates/registration/login.html",
    "server/migrations/0001_initial.py",
    "server/templates/registration/throttled.html",
]


@dataclass
class Image:
    """What the steps of the Dockerfile come to, in a directory in the place of the root."""

    root: Path
    environment: dict[str, str]
    user: int | None
    directory: Path = Path()
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)

    def here(self, text: str, stage: str) -> str:
        """A text whose paths are within the directory; the sources are each stage's own."""
        text = re.sub(r"(?<![\w.])/src\b", f"{self.root}/{stage}/src", text)
        return re.sub(r"(?<![\w.])/(opt/brook|srv)\b", rf"{self.root}/\1", text)

    def run(self, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
        """A command in the finished image, as its user."""
        return subprocess.run(
            [shutil.which(command[0], path=self.environment["PATH"]) or "", *command[1:]],
            cwd=self.directory,
            env=self.environment | more,
            capture_output=True,
            text=True,
            timeout=300,
            user=self.user,
            group=self.user,
            extra_groups=None if self.user is None else (),
        )


def python_of_all() -> str:
    """One that any user of the machine may run."""
    found = shutil.which("python3", path="/usr/local/bin:/usr/bin")
    new = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"
    if found and subprocess.run([found, "-c", new], capture_output=True).returncode == 0:
        return found
    if os.geteuid() == 0:
        pytest.skip("needs Python: the only one here is of a user's own")
    return sys.executable


def steps() -> Iterator[tuple[str, str]]:
    for line in (DEPLOY / "Dockerfile").read_text().splitlines():
        if line and not line.startswith("#"):
            word, _, rest = line.partition(" ")
            yield word, rest


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    root = Path(tempfile.mkdtemp(prefix="brook-image-"))
    root.chmod(0o755)
    (root / "bin").mkdir()
    (root / "bin/python").symlink_to(python_of_all())
    (root / "etc").mkdir()
    for name in ("passwd", "group", "shadow", "login.defs"):
        if os.access(f"/etc/{name}", os.R_OK):
            shutil.copy(f"/etc/{name}", root / "etc")
    given = clean_environment()
    path = f"{root}/bin:{given['PATH']}"
    found = Image(root, {"PATH": path, "HOME": str(root)}, 0)
    try:
        build(found, {**given, "PATH": path})
        yield found
    finally:
        shutil.rmtree(root)


def build(image: Image, builder: dict[str, str]) -> None:
    stage, stages = "", {}
    for word, rest in steps():
        text = image.here(rest, stage)
        if word == "FROM":
            stage = rest.partition(" AS ")[2] or "last"
            stages[stage] = rest
        elif word == "WORKDIR":
            image.directory = Path(text)
            image.directory.mkdir(parents=True, exist_ok=True)
        elif word == "COPY":
            copy(image, rest, stage)
        elif word == "RUN":
            if text.startswith("useradd "):
                text = text.replace("useradd", f"useradd --prefix {image.root}")
            done = subprocess.run(
                ["sh", "-c", text],
                cwd=image.directory if image.directory.exists() else image.root,
                env=builder,
                capture_output=True,
                text=True,
                timeout=540,
            )
            assert done.returncode == 0, f"{rest}\n{done.stdout}{done.stderr}"
        elif word == "ENV":
            for pair in text.split():
                name, _, value = pair.partition("=")
                image.environment[name] = value.replace("$PATH", image.environment["PATH"])
        elif word == "USER":
            number = int(rest.partition(":")[0])
            assert f"brook:x:{number}:" in (image.root / "etc/passwd").read_text()
            image.user = number if os.geteuid() == 0 else None
        elif word == "HEALTHCHECK":
            image.health = json.loads(text.partition("CMD ")[2])
        elif word == "CMD":
            image.command = json.loads(text)
        else:
            assert word == "EXPOSE", word
    assert list(stages) == ["graphiql", "built", "last"]


def copy(image: Image, said: str, stage: str) -> None:
    """From the tree, as .dockerignore lets it, or from another stage."""
    *options, source = said.split()[:-1]
    target = Path(image.here(said.split()[-1], stage))
    names, of = [source], stage
    base = settings.BASE_DIR
    if options and options[0].startswith("--from="):
        of, base = options[0].partition("=")[2], image.root
    else:
        names = [*options, source]
    for name in names:
        origin = (
            base / image.here(name, of).lstrip("/") if of == stage else Path(image.here(name, of))
        )
        onto = (image.directory / target).resolve()
        if origin == onto:  # a .venv stays where it was made
            assert origin.is_dir()
        elif origin.is_dir():
            ignore = unwanted if of == stage else None
            shutil.copytree(origin, onto, ignore=ignore, dirs_exist_ok=True)
        else:
            shutil.copy(origin, onto)


def unwanted(directory: str, names: list[str]) -> set[str]:
    """What Dockerfile.dockerignore keeps out."""
    built = {"graphiql"} if directory.endswith("schema/static") else set()
    return {"__pycache__", "node_modules"} | built


@needs("npm")
def test_the_steps_of_the_dockerfile_come_to_a_server_of_an_unprivileged_user(
    image: Image, proof: Proof
) -> None:
    data = image.root / "data"
    data.mkdir()
    if image.user is not None:
        os.chown(data, image.user, image.user)
    image.environment |= {
        "DATABASE_URL": f"sqlite:///{data}/brook.sqlite3",
        "SECRET_KEY_FILE": str(data / "secret_key"),
        "ALLOWED_HOSTS": "127.0.0.1",
        "INTROSPECTION": "everyone",
    }
    (data / "secret_key").write_text("one of a file, which is as long as it should be\n")
    python = shutil.which("python", path=image.environment["PATH"])
    assert python == f"{image.root}/opt/brook/bin/python"

    where = image.run("python", "-c", "import os, server; print(os.getuid(), server.__file__)")
    user, _, file = where.stdout.strip().partition(" ")
    assert file.startswith(f"{image.root}/opt/brook/lib/"), where.stderr
    before = image.run(*image.command, PORT="0")
    assert 'run "manage.py migrate"' in before.stderr
    migrated = image.run("python", "-m", "django", "migrate", "--verbosity", "0")
    assert migrated.returncode == 0, migrated.stderr
    assert image.command == ["python", "-m", "server"]
    environment = image.environment | {"HOST": "127.0.0.1", "PORT": "0"}
    with serving(environment, image.directory, python=python, user=image.user) as server:
        with server.client() as client:
            page = client.get("/graphql", headers={"Accept": "text/html"})
            script = client.get("/static/graphiql/graphiql.js")
            parts = re.findall(r"\./(assets/[\w-]+\.js)", script.text)
            bundle = [client.get(f"/static/graphiql/{part}") for part in parts]
            live = client.get("/static/live/live.js")
            answer = client.post("/graphql", json={"query": "{ __typename }"})
            alive = client.get("/healthz").status_code
        assert "graphiql.js" in page.text
        assert {it.status_code for it in (script, live, *bundle)} == {200}
        assert sum(len(it.content) for it in bundle) > 100_000
        assert answer.json() == {"data": {"__typename": "Query"}}
        health = image.run(*image.health, PORT=server.address.rpartition(":")[2])
        assert (health.returncode == 0) == (alive == 200)
    proof(
        "the Dockerfile's steps", f"a server of user {user}, with GraphiQL, in a clean directory"
    )


@needs("npm")
def test_what_is_installed_has_all_that_a_server_needs(image: Image) -> None:
    [installed] = image.root.glob("opt/brook/lib/python*/site-packages")
    assert [name for name in NEEDED if not (installed / name).is_file()] == []
    assert not (installed / "tests").exists()
    assert not (installed / "schema/graphiql").exists()


def test_what_compose_starts_is_whole_and_has_no_secrets_in_it() -> None:
    yaml = pytest.importorskip("yaml", reason="needs PyYAML")
    text = (DEPLOY / "compose.yaml").read_text()
    composed: Any = yaml.safe_load(text)
    services = composed["services"]
    assert sorted(services) == ["brook", "migrate", "postgres", "redis"]
    for service in services.values():
        assert set(service.get("secrets", ())) <= set(composed["secrets"])
        assert set(service.get("depends_on", ())) <= set(services)
    brook = services["brook"]
    assert (DEPLOY / brook["build"]["context"] / brook["build"]["dockerfile"]).is_file()
    read = (settings.BASE_DIR / "server/settings.py").read_text()
    for name in brook["environment"]:
        assert f'"{name.removesuffix("_FILE")}"' in read, name
    assert "password@" not in text.replace("<the password>@", "")
    assert {it["file"].partition("/secrets/")[0] for it in composed["secrets"].values()} == {"."}
    assert "deploy/secrets/" in (settings.BASE_DIR / ".gitignore").read_text().splitlines()
    check = ["docker", "compose", "-f", str(DEPLOY / "compose.yaml"), "config", "--quiet"]
    if (
        shutil.which("docker")
        and not subprocess.run(["docker", "compose", "version"], capture_output=True).returncode
    ):
        done = subprocess.run(check, env=os.environ | {"ALLOWED_HOSTS": "x"}, capture_output=True)
        assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_the_units_are_as_systemd_would_have_them(tmp_path: Path, proof: Proof) -> None:
    for name in UNITS:
        text = (DEPLOY / name).read_text().replace("/opt/brook/bin/python", sys.executable)
        (tmp_path / name).write_text(text)
    asked = [str(tmp_path / name.replace("@", "@all")) for name in UNITS]
    done = subprocess.run(["systemd-analyze", "verify", *asked], capture_output=True, text=True)
    about_ours = [line for line in done.stderr.splitlines() if "brook" in line]
    assert (done.returncode, about_ours) == (0, [])
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", str(tmp_path / UNITS[0])],
        capture_output=True,
        text=True,
    )
    found = re.search(r"exposure level for \S+: ([\d.]+)", rated.stdout)
    assert found, rated.stdout + rated.stderr
    assert float(found[1]) < 2
    proof("the systemd unit", f"exposure {found[1]} of 10")


def test_the_example_of_an_environment_is_safe() -> None:
    lines = (DEPLOY / "brook.env.example").read_text().splitlines()
    pairs = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert pairs["SECRET_KEY"] == ""
    key = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=settings.BASE_DIR,
        env=clean_environment(**pairs | {"SECRET_KEY": key}),
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
