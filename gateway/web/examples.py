"""Examples for the description of the API: what each body, parameter and answer may look like."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from events.messages import Policy
from gateway.live import LiveFigures, LivePartition, Within
from gateway.web.credentials import (
    BlockList,
    BlockOrder,
    Credentials,
    Disabling,
    NewAccount,
    NewPassword,
    PasswordChange,
    PolicyOrder,
    Reason,
)
from gateway.web.cursors import cursor
from gateway.web.schemas import (
    AccountState,
    Alive,
    AttackReport,
    Attempts,
    AuditedRequest,
    Block,
    BlockedByHand,
    BlockedUsers,
    Deletion,
    FormerPolicy,
    HeavyAccount,
    HeavySource,
    Lifted,
    LiftedOne,
    LoggedIn,
    OwnSession,
    Policies,
    PolicyInForce,
    PublicKey,
    PublicKeys,
    Readiness,
    ServiceVerdict,
    StandingBlock,
    Started,
    Success,
    TrialFigures,
    TrialResult,
    TriedPolicy,
    Undecided,
)
from gateway.web.service_attempts import CheckedPassword

CURSOR = cursor((1_795_858_200_125, 1, 17, 3))

_BLOCK = Block(
    user="ana",
    since="2026-11-28T09:30:00.125Z",
    until="2026-11-28T10:00:00.125Z",
    why="5 wrong passwords within 900 s",
    failures=5,
    level=1,
    by_hand=False,
)
_DECISION = AuditedRequest(
    at="2026-11-28T09:30:00.125Z",
    partition=3,
    generation=1,
    offset=17,
    kind="attempt",
    user="ana",
    outcome="wrong",
    verdict="rejected",
    policy=1,
    source="192.0.2.7",
    user_agent="Mozilla/5.0",
    id="5f0c6f8e1d2b4a3c9e8d7c6b5a493827",
    delayed_ms=0,
    device=None,
    operator=None,
    reason=None,
)

BODIES: dict[type, Struct] = {
    Credentials: Credentials("ana", "a long pass phrase"),
    PasswordChange: PasswordChange("ana", "a long pass phrase", "another pass phrase"),
    NewAccount: NewAccount("ana", "a long pass phrase", "new here"),
    NewPassword: NewPassword("another pass phrase", "forgot it"),
    Disabling: Disabling(disabled=True, reason="left the company"),
    BlockOrder: BlockOrder("phone was stolen", 7_200),
    BlockList: BlockList(["ana", "ben"], "the attack is over"),
    Reason: Reason("called, and knew the answer"),
    PolicyOrder: PolicyOrder(Policy(version=2, threshold=3), "many guesses since Monday"),
    CheckedPassword: CheckedPassword("ana", "wrong", "192.0.2.7", "Mozilla/5.0"),
}

ANSWERS: dict[type[Struct], dict[str, Struct]] = {
    Success: {"done": Success(success=True)},
    LoggedIn: {
        "without sessions": LoggedIn(success=True),
        "with sessions": LoggedIn(
            True, "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhbmEifQ.c2lnbmF0dXJl", 43_200
        ),
    },
    OwnSession: {"a session": OwnSession("ana", 41_875)},
    PublicKeys: {
        "one key": PublicKeys(
            [
                PublicKey(
                    *("OKP", "Ed25519", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"),
                    *("2026-11", "sig", "EdDSA"),
                )
            ]
        )
    },
    ServiceVerdict: {
        "let in": ServiceVerdict("accepted"),
        "a wrong one": ServiceVerdict("rejected"),
        "blocked": ServiceVerdict("blocked", 1_742),
        "until an operator lifts it": ServiceVerdict("blocked", None),
    },
    Undecided: {
        "undecided": Undecided(
            "undecided", "Nobody can decide about this account now", "unavailable"
        )
    },
    StandingBlock: {
        "none": StandingBlock(blocked=False),
        "blocked": StandingBlock(blocked=True, retry_after=1_742),
    },
    BlockedUsers: {
        "names": BlockedUsers(users_blocked=["ana", "ben"]),
        "details": BlockedUsers(blocked=[_BLOCK], next=CURSOR),
    },
    Block: {"a block": _BLOCK},
    BlockedByHand: {
        "for a time": BlockedByHand(blocked=True, until="2026-11-28T11:30:00.125Z"),
        "until it is lifted": BlockedByHand(blocked=True, until=None),
    },
    Lifted: {"lifted": Lifted(unblocked=True)},
    LiftedOne: {
        "lifted": LiftedOne("ana", True),
        "not blocked": LiftedOne("ben", False, "This account is not blocked", "not_found"),
    },
    AccountState: {"an account": AccountState("ana", "2026-11-01T08:00:00.000Z", disabled=False)},
    Deletion: {"there was one": Deletion(deleted=True)},
    Attempts: {"a page": Attempts([_DECISION], CURSOR), "the last page": Attempts([], None)},
    AttackReport: {
        "an attack": AttackReport(
            known=True,
            attack=True,
            failed_accounts=5_210,
            succeeded_accounts=31,
            since="2026-11-28T09:15:00.000Z",
            sources=[HeavySource("192.0.2.0/24", 4_711, 12)],
            accounts=[HeavyAccount("admin", 903, 12)],
        )
    },
    LiveFigures: {
        "a second": LiveFigures(
            at="2026-11-28T09:30:01.125Z",
            logins={"accepted": 12.0, "wrong": 4711.9, "blocked": 302.0},
            service_attempts={"accepted": 3.0},
            verdicts=4726.9,
            login_seconds=Within(0.05, 0.2),
            verdict_seconds=Within(0.01, 0.02),
            partitions=[LivePartition(0, 1_795_858_200_125, 17, 2, 0.4)],
        )
    },
    PolicyInForce: {
        "everywhere": PolicyInForce(Policy(version=2), "2026-11-27T16:20:11.308Z", 16, [], None),
        "another one is tried": PolicyInForce(
            Policy(version=2),
            "2026-11-27T16:20:11.308Z",
            16,
            [],
            TriedPolicy(
                *(Policy(version=2, threshold=3), "2026-11-28T08:00:00.000Z", ["threshold"]),
                TrialResult(
                    *("2026-11-28T09:30:02.125Z", 1, 2, 52_110),
                    *(TrialFigures(41, 2, 630), TrialFigures(41, 2, 630)),
                    TrialFigures(58, 5, 711),
                ),
            ),
        ),
    },
    Policies: {
        "two": Policies(
            [
                FormerPolicy(
                    2, "2026-11-27T16:20:11.308Z", Policy(version=2, threshold=5), ["threshold"]
                ),
                FormerPolicy(1, "2026-11-01T07:59:58.004Z", Policy(version=1, threshold=10), []),
            ]
        )
    },
    Alive: {"alive": Alive(alive=True)},
    Started: {"started": Started(started=True)},
    Readiness: {
        "ready": Readiness(True, {"postgres": "ok", "kafka": "ok", "workers": "ok"}),
    },
}

NOT_READY = Readiness(
    False, {"postgres": "Postgres did not answer in time", "kafka": "ok", "workers": "ok"}
)

ERRORS: dict[str, str] = {
    "invalid": "user must have 3 to 254 characters",
    "common_password": "Everybody uses this password; choose another one",
    "wrong_password": "Wrong password",
    "unauthorized": "The request has no token that would let it in",
    "no_session": "Log in: the request has neither the cookie nor a Bearer token",
    "blocked_for_good": "Too many wrong passwords; an operator has to lift the block",
    "registration_off": "Nobody can register here",
    "not_enabled": "No service may ask here",
    "insufficient_scope": "The token is none for this",
    "no_operators": "Nobody has an operator's token yet, and this needs one",
    "foreign_page": "A page elsewhere may not ask this port",
    "not_found": "There is nothing of this name",
    "too_slow": "The body must arrive within 3 seconds",
    "name_taken": "This name is taken",
    "key_reused": "Another attempt had this Idempotency-Key",
    "policy_changed": "Policy 4 is in force, and yours was made from 3",
    "no_policy_key": "The operator port has no key that signs a policy",
    "too_large": "The body must have at most 16384 bytes",
    "not_json": "The Content-Type must be application/json",
    "foreign_host": "The Host header names somebody else",
    "blocked": "Too many wrong passwords; try again later",
    "source_refused": "Too many accounts failed from here; try again later",
    "unexpected": "Something unexpected went wrong; the log says what",
    "unavailable": "Postgres did not answer in time; try again later",
    "overloaded": "Too many logins are waiting; try again later",
}
"""A sentence for each code."""

CODES: dict[int, tuple[str, ...]] = {
    400: ("invalid",),
    401: ("unauthorized",),
    403: ("foreign_page",),
    404: ("not_found",),
    408: ("too_slow",),
    409: ("name_taken",),
    413: ("too_large",),
    415: ("not_json",),
    421: ("foreign_host",),
    429: ("blocked", "source_refused"),
    500: ("unexpected",),
    503: ("unavailable", "overloaded"),
}
"""The codes of a status, where an endpoint has no others."""

_SETS_A_PASSWORD: dict[int, tuple[str, ...]] = {400: ("invalid", "common_password")}
_TOKEN: dict[int, tuple[str, ...]] = {403: ("not_enabled", "insufficient_scope")}

_CHECKS_A_PASSWORD: dict[int, tuple[str, ...]] = {
    401: ("wrong_password",),
    403: ("blocked_for_good",),
}

CODES_OF: dict[str, dict[int, tuple[str, ...]]] = {
    "login.login": _CHECKS_A_PASSWORD,
    "password.change_password": _SETS_A_PASSWORD | _CHECKS_A_PASSWORD,
    "register.register": _SETS_A_PASSWORD | {403: ("registration_off",), 429: ("source_refused",)},
    "accounts.create_account": _SETS_A_PASSWORD,
    "accounts.reset_password": _SETS_A_PASSWORD,
    "verdicts.attempt": _TOKEN | {409: ("key_reused",)},
    "verdicts.show_block": _TOKEN,
    "sessions.session": {401: ("no_session",)},
    "policy.change_policy": {
        403: ("foreign_page", "insufficient_scope", "no_operators", "no_policy_key"),
        409: ("policy_changed",),
    },
}
"""Those of an endpoint that has others."""

OF_OPERATORS: dict[int, tuple[str, ...]] = {
    401: ("unauthorized",),
    403: ("foreign_page", "insufficient_scope", "no_operators"),
}
"""Those of an endpoint that may take an operator's token."""

PARAMETERS: dict[str, Any] = {
    "user": "ana",
    "limit": 100,
    "after": CURSOR,
    "details": "1",
    "reason": "in a row",
    "since": "2026-11-28T09:30:00Z",
    "text": "an",
    "source": "192.0.2.7",
    "verdict": "blocked",
    "operator": "Cleo",
    "from": "2026-11-28T09:00:00Z",
    "to": "2026-11-28T10:00:00Z",
    "day": "2026-11-28",
    "idempotency-key": "5f0c6f8e-1d2b-4a3c-9e8d-7c6b5a493827",
}
"""A value of each parameter."""
