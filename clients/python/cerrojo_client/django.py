"""A backend for Django that asks Cerrojo about each password."""

from __future__ import annotations

from contextlib import suppress
from functools import cache, partial
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.views.decorators.debug import sensitive_variables

from cerrojo_client import Cerrojo, OnUndecided


@cache
def client() -> Cerrojo:
    """This process's client, by Django's settings."""
    return Cerrojo.configured(partial(getattr, settings))


class CerrojoMixin:
    """Before a backend that checks passwords, as in ``class Mine(CerrojoMixin, LDAPBackend)``."""

    def counted_name(self, username: str) -> str:
        """The name under which Cerrojo counts: the account's own, however a database compares."""
        users: Any = get_user_model()
        with suppress(users.DoesNotExist):
            return str(users._default_manager.get_by_natural_key(username).get_username())
        return username

    def source(self, request: HttpRequest | None) -> str | None:
        """The person's IP address, if it is known: REMOTE_ADDR may be that of a proxy."""
        return None

    @sensitive_variables()  # type: ignore[untyped-decorator]  # a report of an error shows them
    def authenticate(
        self, request: Any, username: Any = None, password: Any = None, **kwargs: Any
    ) -> Any:
        """The account if Cerrojo accepts; else PermissionDenied: no other backend is asked."""
        username = kwargs.get(get_user_model().USERNAME_FIELD) if username is None else username
        if username is None or password is None:
            return None
        found: list[Any] = []
        checks: Any = super()

        def check() -> bool:
            with suppress(PermissionDenied):
                found.append(checks.authenticate(request, username, password, **kwargs))
            return bool(found) and found[0] is not None

        verdict = client().login(
            self.counted_name(username),
            check,
            on_undecided=OnUndecided(settings.CERROJO_ON_UNDECIDED),
            source=self.source(request),
            user_agent=request and request.META.get("HTTP_USER_AGENT"),
        )
        if request is not None:
            getattr(request, "_request", request).cerrojo_verdict = verdict  # also REST framework's
        if verdict.lets_in:
            return found[0]
        raise PermissionDenied(verdict.sentence)

    @sensitive_variables()  # type: ignore[untyped-decorator]
    async def aauthenticate(self, request: Any, **credentials: Any) -> Any:
        """In a thread: Django's own would check the password past `authenticate`."""
        return await sync_to_async(self.authenticate)(request, **credentials)


class CerrojoBackend(CerrojoMixin, ModelBackend):
    """Django's own backend behind Cerrojo."""
