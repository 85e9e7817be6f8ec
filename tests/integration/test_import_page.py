"""docs/import.md, run as it stands there."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import psycopg

from tests.harness.foreign_accounts import KEYCLOAK
from tests.harness.page import Page
from tests.paths import PROJECT


def test_the_page_brings_accounts_along(database: str, tmp_path: Path):
    """Of a file, of a real Django project, and of Keycloak's export; and takes them out."""
    env = {"DATABASE_URL": database, "PYTHONPATH": str(PROJECT)}
    page = Page("import.md", tmp_path, env)
    page.run("accounts.csv")
    page.run("export exported.csv")

    page.write_files()
    for command in (
        "django-admin startproject shop .",
        "python manage.py migrate",
        "python manage.py createsuperuser --noinput --username dora --email dora@example.com",
    ):
        secret = {"DJANGO_SUPERUSER_PASSWORD": "correct horse"}
        subprocess.run(shlex.split(command), cwd=tmp_path, env={**page.env, **secret}, check=True)
    assert page.run("export_users.py").startswith('{"created":1,')

    (tmp_path / "export").mkdir()
    credential = KEYCLOAK["argon2"]
    password = {
        "type": "password",
        "credentialData": credential.credential_data,
        "secretData": credential.secret_data,
    }
    users = [{"username": f"user{number}", "credentials": [password]} for number in range(3)]
    for number, part in enumerate((users[:2], users[2:])):
        path = tmp_path / "export" / f"shop-users-{number}.json"
        path.write_text(json.dumps({"realm": "shop", "users": part}))
    assert page.run("user_lines.py").startswith('{"created":3,')

    assert page.not_run() == []
    with psycopg.connect(database) as connection:
        rows = connection.execute("SELECT username FROM accounts ORDER BY 1").fetchall()
    assert [user for (user,) in rows] == [
        *("ana@example.com", "ben@example.com", "dora", "user0", "user1", "user2")
    ]
