"""A flash crowd: the load rises in steps to far past what the system can take, and falls again."""

from __future__ import annotations

from locust import LoadTestShape, between

from loadtest.ledger import ACCEPTED
from loadtest.run import options
from loadtest.scenarios import morning

# When (as a share of the time), how many (as a share of USERS).
STEPS = ((0.15, 0.1), (0.3, 0.25), (0.45, 0.5), (0.75, 1.0), (1.0, 0.1))


class InTheCrowd(morning.Ordinary):
    """One of a crowd that comes all at once.

    The harm it simulates: an overload in which everybody waits and nobody gets in, and which
    stays when the crowd has left. Past the knee some must be told to come again (503 with
    Retry-After), and the others get in all the time.
    """

    count = 200
    must_see = frozenset({ACCEPTED})
    wait_time = between(0.5, 1.5)
    weights = morning.zipf(count)


class Crowd(LoadTestShape):
    """Steps up to USERS within TIME, and down again."""

    use_common_options = True
    calm_after = STEPS[-2][0]  # as a share of the time: then the crowd has left

    def tick(self) -> tuple[int, float] | None:
        """How many clients there are now; None at the end."""
        said = options(self.runner)
        now = self.get_run_time() / said.run_time  # type: ignore[no-untyped-call]
        for until, share in STEPS:
            if now < until:
                users = max(1, round(share * said.num_users))
                return users, said.num_users  # all at once, also when they leave
        return None
