"""The bodies of answers, for OpenAPI."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from msgspec import UNSET, Struct, UnsetType, field

from events.messages import Policy

Handler = TypeVar("Handler", bound=Callable[..., Any])


class Success(Struct):
    """It worked."""

    success: bool


class Error(Struct):
    """The reason: a sentence for people, which may change, and a code for programs, which stays."""

    error: str
    code: str


class LoggedIn(Struct):
    """The login was accepted. The rest is there where a key for sessions is set."""

    success: bool
    token: str | UnsetType = UNSET
    """A JWT (RFC 7519), which the cookie has, too"""
    expires_in: int | UnsetType = UNSET
    """Seconds until the token, and with it the session, ends"""


class OwnSession(Struct):
    """Whose session it is."""

    user: str
    expires_in: int
    """Seconds until the session ends"""


class PublicKey(Struct):
    """The public half of a key that signs sessions (RFC 7517, RFC 8037)."""

    kty: str
    crv: str
    x: str
    kid: str
    use: str
    alg: str


class PublicKeys(Struct):
    """The keys by which the token of a session is known."""

    keys: list[PublicKey]


class ServiceVerdict(Struct):
    """The log's verdict on a service's attempt."""

    verdict: str
    """accepted, rejected or blocked"""
    retry_after: int | UnsetType | None = UNSET
    """Only with blocked: the seconds until the block ends; null: an operator has to lift it"""


class Undecided(Struct):
    """Nothing was decided, as far as anybody knows. The code is unavailable or overloaded."""

    verdict: str
    error: str
    code: str


class StandingBlock(Struct):
    """Whether an account is blocked, as far as this gateway knows."""

    blocked: bool
    retry_after: int | UnsetType | None = UNSET
    """Only where it is: the seconds until the block ends; null: an operator has to lift it"""


class Block(Struct):
    """An account's block. Times are ISO 8601 in UTC."""

    user: str
    since: str
    until: str | None
    """null: until an operator lifts it."""
    why: str
    failures: int
    """Wrong passwords since the last right one."""
    level: int
    """How many blocks there were since the last right password; by it the next one is longer."""
    by_hand: bool
    """Whether an operator asked for it, which is no step towards longer ones."""


class BlockedByHand(Struct):
    """The account is blocked."""

    blocked: bool
    until: str | None
    """ISO 8601 in UTC; null: until an operator lifts it."""


class BlockedUsers(Struct):
    """A page of the accounts that are blocked: in order of their names, or with details."""

    users_blocked: list[str] | UnsetType = field(name="users-blocked", default=UNSET)
    """Without `details`"""
    blocked: list[Block] | UnsetType = UNSET
    """With `details`, newest first"""
    next: str | UnsetType | None = UNSET
    """With `details`: what `after` of the next page is; null: this is the last one"""


class Lifted(Struct):
    """The block is lifted."""

    unblocked: bool


class LiftedOne(Struct, omit_defaults=True):
    """What came of one account of a list."""

    user: str
    """As it was sent"""
    unblocked: bool
    error: str = ""
    """The sentence that says why not"""
    code: str = ""
    """And its code; `not_found`: it is not blocked"""


class AccountState(Struct):
    """What is known of an account; never its hash."""

    user: str
    registered: str
    """ISO 8601 in UTC"""
    disabled: bool
    """Whether nobody can log in to it"""


class Deletion(Struct):
    """Nothing is kept of the name."""

    deleted: bool
    """Whether there was an account"""


class AuditedRequest(Struct):
    """One decision of the log."""

    at: str
    partition: int
    generation: int
    offset: int
    kind: str
    """attempt, registered, unblock, block, password; disabled, enabled or devices (forgotten),
    which only say what an operator did; deleted, policy or layout"""
    user: str
    """Empty where it concerns no account, and where the account was deleted since"""
    outcome: str | None
    """right or wrong; null where it was no attempt, or was not decided, as behind a block"""
    verdict: str
    """accepted, rejected or blocked; moved: not decided, the account has another partition now;
    repeated: not decided, the same request stands earlier in the log; late: not decided, it came
    after the last moment for it"""
    policy: int
    source: str | None
    """The IP address of the person that logged in; null where the sender did not say it"""
    user_agent: str | None
    id: str
    """What `X-Request-ID` of the answer to the request said"""
    delayed_ms: int
    """How long the login was delayed for what its source did"""
    device: str | None
    """Which of the account's devices it came from, by the beginning of its id; null: from none that
    is known. Each login makes a new one of the browser"""
    operator: str | None
    """Who asked for it, where an operator did"""
    reason: str | None
    """Why, where they said so"""


class Attempts(Struct):
    """A page of the decisions, newest first."""

    attempts: list[AuditedRequest]
    next: str | None
    """What `after` of the next page is; null: this is the last one"""


class TrialFigures(Struct):
    """What came, or would have come, of the attempts."""

    blocks: int
    owners_refused: int
    """Right passwords behind their account's block"""
    guesses_saved: int
    """Wrong passwords behind it, of which nothing was revealed"""


class TrialResult(Struct):
    """What each policy would have decided since the trial began, with clean accounts at first."""

    as_of: str
    """What was decided by then is counted, ISO 8601 in UTC"""
    one_of: int
    """1: all accounts are counted; otherwise one in so many, and the figures are estimates"""
    version: int
    """Of the policy in force that it is compared with"""
    attempts: int
    """With what cleared accounts or blocked them by hand"""
    as_it_was: TrialFigures
    """What the log came to"""
    in_force: TrialFigures
    shadow: TrialFigures
    """By the policy that is tried"""


class TriedPolicy(Struct):
    """A policy that is tried beside the one in force, and decides nothing."""

    policy: Policy
    """Its version is that of the policy which it was made from"""
    since: str
    """ISO 8601 in UTC"""
    changed: list[str]
    """What is different from the one in force"""
    result: TrialResult | None
    """null: nothing is counted yet"""


class PolicyInForce(Struct):
    """The newest policy, and where it is in force. Its lengths are in milliseconds."""

    policy: Policy
    since: str | None
    """When it came into force first, ISO 8601 in UTC; null: the audit is not kept as long"""
    partitions: int
    """The number of those that are used"""
    behind: list[int]
    """The partitions of the log where it is not in force yet"""
    tried: TriedPolicy | None
    """null: nothing is tried"""


class FormerPolicy(Struct):
    """A policy that came into force."""

    version: int
    since: str
    """When it came into force first, ISO 8601 in UTC"""
    policy: Policy | None
    """null: nothing that is kept says it"""
    changed: list[str]
    """What was changed from the one before; empty where that is not known"""


class Policies(Struct):
    """The policies that came into force, newest first."""

    policies: list[FormerPolicy]


class HeavySource(Struct):
    """A source with many refusals."""

    source: str
    """An address, or the network that is taken for one source"""
    refusals: int
    """Wrong passwords and what was refused without a hash; at most so many"""
    error: int
    """By how much `refusals` may be too large"""


class HeavyAccount(Struct):
    """An account with many refusals; there need be none of this name."""

    user: str
    refusals: int
    """Wrong passwords and what was refused without a hash; at most so many"""
    error: int
    """By how much `refusals` may be too large"""


class AttackReport(Struct):
    """Where refusals come from and what they aim at, in the last 15 to 30 minutes."""

    known: bool
    """Whether this gateway knows what sources did; else the rest may be short of much"""
    attack: bool
    """Whether more accounts fail, over all sources, than the settings allow"""
    failed_accounts: int
    """Accounts whose last login from a source was wrong, in each source, within 15 minutes"""
    succeeded_accounts: int
    """Accounts that got in, in each source, within 15 minutes"""
    since: str | None
    """From where on refusals are counted, ISO 8601 in UTC; null where there was none"""
    sources: list[HeavySource]
    accounts: list[HeavyAccount]


class Alive(Struct):
    """The process lives."""

    alive: bool


class Started(Struct):
    """The process has loaded everything since its start."""

    started: bool


class Readiness(Struct):
    """Whether logins can be decided; each part says "ok" or what is wrong."""

    ready: bool
    parts: dict[str, str]


BODY_ERRORS = (400, 408, 413, 415)
"""The statuses of answers to a bad body."""


@dataclass
class Description:
    """What OpenAPI is told of an endpoint, besides its path and its docstring."""

    answers: dict[int, type[Struct]] = dataclasses.field(default_factory=dict)
    """By status."""
    body: type | None = None
    query: type | None = None
    headers: type | None = None
    of_services: bool = False
    """Whether it takes a service's token."""
    of_sessions: bool = False
    """Whether it takes a session's token."""
    hidden: bool = False
    """Whether it is for browsers and not for programs."""


DESCRIPTIONS: defaultdict[Callable[..., Any], Description] = defaultdict(Description)
"""By handler. `gateway.web.openapi` makes the document of them, and only the process that shows it
imports what that needs."""


def answers_with(
    model: type[Struct],
    status: int,
    *errors: int,
    body: type | None = None,
    query: type | None = None,
    headers: type | None = None,
    of_services: bool = False,
    of_sessions: bool = False,
) -> Callable[[Handler], Handler]:
    """Document that an endpoint answers with this, or with an `Error` of these statuses.

    `body`, `query` and `headers` are what it takes; `of_services` and `of_sessions` say that it
    takes a token.
    """

    def decorate(handler: Handler) -> Handler:
        described = DESCRIPTIONS[handler]
        described.answers |= {status: model, **dict.fromkeys(errors, Error)}
        described.body = body or described.body
        described.query = query or described.query
        described.headers = headers or described.headers
        described.of_services = of_services or described.of_services
        described.of_sessions = of_sessions or described.of_sessions
        return handler

    return decorate


def hidden(handler: Handler) -> Handler:
    """Leave an endpoint out of the document."""
    DESCRIPTIONS[handler].hidden = True
    return handler
