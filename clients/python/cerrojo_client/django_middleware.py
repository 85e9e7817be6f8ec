"""A middleware for Django that says what `cerrojo_client.django` decided."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse


def cerrojo_middleware(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Answers 429, 403, 503 or 400 where the login's own page would say "wrong password"."""

    def answer(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        verdict = getattr(request, "cerrojo_verdict", None)
        if verdict is None or verdict.may_tell:
            return response
        return HttpResponse(
            verdict.sentence, "text/plain", status=verdict.status, headers=verdict.headers
        )

    return answer
