"""The operators' console, as a person uses it in a browser."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from playwright.async_api import Page, Response, Route, expect

from gateway.live import LiveFigures
from gateway.operators import Role
from gateway.web.examples import ANSWERS
from tests.acceptance.browsing import Visit
from tests.acceptance.system import Client, RunningSystem
from tests.harness.command import said
from tests.harness.operators import OPERATOR_TOKEN, add_operator

RIGHT = "a good password"
WRONG = "a wrong password"

# As long as a name can be, and all that a page, an address or a query could take for its own.
LONGEST = "<img/src=//x.test/x/onerror=alert(1)>&lt;\"'+%2f?#a/../b;".ljust(64, "w")


async def block(client: Client, user: str) -> None:
    """Five wrong passwords."""
    await client.register(user, RIGHT)
    for _ in range(5):
        assert (await client.login(user, WRONG)).status == 401


async def look_at_everything(page: Page) -> None:
    """As it does where it comes to the front."""
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


async def taken_in(page: Page, answer: Response) -> None:
    """Return when the page has done what it does with this answer."""
    await answer.finished()
    await page.evaluate("new Promise((done) => setTimeout(done))")


@pytest.mark.parametrize(
    "user", ["console.ana", "ángela-ñ", LONGEST], ids=["ana", "ángela", "the longest"]
)
def test_an_operator_finds_a_block_and_lifts_it(system: RunningSystem, visit: Visit, user: str):
    """From the list to the account's block and attempts, a second thought, and back in."""

    async def scenario(client: Client, page: Page) -> None:
        await block(client, user)
        await page.goto(system.operator_url)
        name = page.locator("#names a", has_text=re.compile(f"^{re.escape(user)}$"))
        await name.click()
        await expect(page.locator("#user")).to_have_text(user)
        await expect(page).to_have_title(f"\u2068{user}\u2069 · Cerrojo")
        await expect(page.locator("#state")).to_have_text("Blocked")
        await expect(page.locator("#failures")).to_have_text("5")
        await expect(page.locator("#level")).to_have_text("1")
        await expect(page.locator("#why")).not_to_be_empty()
        attempts = page.locator("#attempts tr.entry")
        await expect(attempts.filter(has_text="wrong")).to_have_count(5)
        await expect(attempts).to_have_count(6)  # and the registration

        await page.locator("#unblock").click()
        await page.locator("#token").fill(OPERATOR_TOKEN)
        await page.locator("#login-yes").click()
        await expect(page.locator("#operator-name")).to_have_text("tests (administer)")
        await expect(page.locator("#confirm-title")).to_have_text(f"Unblock {user}?")
        await page.get_by_role("button", name="Keep blocked").click()
        await expect(page.locator("#confirm")).to_be_hidden()
        assert (await client.login(user, RIGHT)).status == 429

        # A colleague has a reason of their own meanwhile.
        await expect(page.locator("#confirm-by-hand")).to_be_hidden()
        path = f"/blocked/{quote(user, safe='')}"
        assert (await client.operator("POST", path, {"reason": "stolen"})).status == 200
        await page.locator("#unblock").click()
        await expect(page.locator("#confirm-by-hand")).to_have_text(
            "It is blocked until an operator lifts it, by hand: stolen"
        )
        await page.locator("#reason").fill("it was found")
        await page.keyboard.press("Enter")
        await expect(page.locator("#said")).to_have_text(f"\u2068{user}\u2069 is unblocked.")
        await expect(page.locator("#state")).to_have_text("Not blocked")
        await expect(name).to_have_count(0)
        unblocked = attempts.filter(has_text="unblock")
        await expect(unblocked.locator("q")).to_have_text(["it was found"])
        # What there is to know of it besides is reached by the keyboard, too.
        await unblocked.locator("summary").focus()
        await page.keyboard.press("Enter")
        await expect(unblocked.locator("small")).to_have_text([re.compile("^X-Request-ID .{32}$")])
        await expect(unblocked.locator("small")).to_be_visible()
        # Every process has heard of it soon.
        assert (await client.login_once_heard(user, RIGHT)).status == 200
        assert await page.locator("img").count() == 1  # the console's own

    visit(system, scenario)


def test_the_newest_blocks_come_first_and_a_part_of_a_name_finds_them(
    system: RunningSystem, visit: Visit
):
    """Each with the time that is left of it."""

    async def scenario(client: Client, page: Page) -> None:
        for user in ("filter-older", "filter-newer", "another-one"):
            await block(client, user)
        await page.goto(system.operator_url)
        await expect(page.locator("#names a", has_text="another-one")).to_be_visible()
        await page.locator("#filter").fill("FILTER-")
        await expect(page.locator("#names a")).to_have_text(["filter-newer", "filter-older"])
        left = re.compile(r"^for (2\d|30) min$")
        await expect(page.locator("#names li span")).to_have_text([left, left])
        await page.locator("#filter").fill("nobody has this")
        nobody = page.get_by_role("status").filter(has_text="Nobody with this in the name")
        await expect(nobody).to_have_text("Nobody with this in the name is blocked.")

    visit(system, scenario)


def test_a_block_is_found_also_where_very_many_came_after_it(system: RunningSystem, visit: Visit):
    """It was among the newest, and is behind them, where a look had been in vain before it came."""
    found = {"user": "in-the-crowd", "until": None, "why": "by hand", "level": 0, "by_hand": True}
    # What follows on what: by the cursor the blocks that an answer has, and where it ends.
    lists: dict[str, dict[str, tuple[list[dict[str, object]], str]]] = {
        "in vain": {"": ([], "old"), "old": ([], "older"), "older": ([], "")},
        "new": {"": ([found], "old"), "old": ([], "")},
        "behind": {
            "": ([], "new"),
            "new": ([found], "old"),
            "old": ([], "older"),
            "older": ([], ""),
        },
    }

    async def scenario(_client: Client, page: Page) -> None:
        now = "in vain"

        async def answer(route: Route) -> None:
            cursor = route.request.url.partition("after=")[2]
            blocks, end = lists[now][cursor]
            link = {"Link": f'</blocked?details=1&after={end}>; rel="next"'} if end else {}
            await route.fulfill(json={"blocked": blocks}, headers=link)

        await page.route("**/blocked?*", answer)
        await page.goto(system.operator_url)
        names = page.locator("#names a")
        await expect(page.locator("#list-empty")).to_have_text("Nobody is blocked.")
        now = "new"
        await look_at_everything(page)
        await expect(names).to_have_text(["in-the-crowd"])
        now = "behind"
        async with page.expect_response("**/blocked?*after=new"):
            await look_at_everything(page)
        await expect(names).to_have_text(["in-the-crowd"])
        # A page on which nobody is leads back.
        await page.locator("#next").click()
        await expect(page.locator("#said")).to_contain_text("There is nobody on the page after")
        await expect(page.locator("#page")).to_have_text("Page 1")
        await expect(names).to_have_text(["in-the-crowd"])
        # Not over what a change came to, which may be why nobody is there any more.
        said = page.locator("#said")
        await said.evaluate("(said) => { said.textContent = 'All are unblocked.'; }")
        async with page.expect_response("**/blocked?*after=older"):
            await page.locator("#next").click()
        await expect(page.locator("#page")).to_have_text("Page 1")
        await expect(names).to_have_text(["in-the-crowd"])
        await expect(said).to_have_text("All are unblocked.")
        await page.unroute("**/blocked?*")

    visit(system, scenario)


async def log_in(page: Page) -> None:
    """As the tests' operator."""
    await page.locator("#log-in").click()
    await page.locator("#token").fill(OPERATOR_TOKEN)
    await page.locator("#login-yes").click()
    await expect(page.locator("#login")).to_be_hidden()  # beside a dialog nothing can be typed


async def choose_all(client: Client, page: Page, begin: str, number: int) -> None:
    """So many blocks whose names begin so, all but the oldest one chosen by the keyboard."""
    for n in range(number):
        order = {"reason": "an attack"}
        assert (await client.operator("POST", f"/blocked/{begin}{n}", order)).status == 200
    await log_in(page)
    await page.locator("#filter").fill(begin)
    names = [f"{begin}{n}" for n in reversed(range(number))]
    await expect(page.locator("#names a")).to_have_text(names)
    await page.locator("#choose-all").check()
    oldest = page.get_by_role("checkbox", name=f"{begin}0")
    await oldest.focus()
    await page.keyboard.press("Space")
    await expect(page.locator("#chosen")).to_contain_text(f"{number - 1} accounts chosen")


def test_several_blocks_are_lifted_with_one_reason(system: RunningSystem, visit: Visit):
    """What is not chosen stays; what is chosen stays where it is while others are blocked."""

    async def scenario(client: Client, page: Page) -> None:
        await page.goto(system.operator_url)
        for user in ("by-itself-1", "by-itself-2"):
            await block(client, user)
        await choose_all(client, page, "at-once-", 3)
        await page.locator("#filter").fill("by-itself-")
        for user in ("by-itself-1", "by-itself-2"):
            await page.get_by_role("checkbox", name=user).check()
        stolen = await client.operator("POST", "/blocked/by-itself-1", {"reason": "stolen"})
        assert stolen.status == 200
        await page.locator("#lift").click()
        await expect(page.locator("#lifting-title")).to_have_text("Unblock 4 accounts?")
        await expect(page.locator("#lifting-by-hand")).to_have_text(
            "Blocked by hand, and first in this list: 3."
        )
        attack = "blocked until an operator lifts it, by hand: an attack"
        await expect(page.locator("#lifting-users li")).to_have_text(
            [
                *(f"at-once-2 {attack}", f"at-once-1 {attack}"),
                f"by-itself-1 {attack.replace('an attack', 'stolen')}",
                "by-itself-2",
            ]
        )
        await page.locator("#lift-reason").fill("the attack is over")
        await page.keyboard.press("Enter")
        await expect(page.locator("#said")).to_have_text("4 of 4 accounts unblocked.")
        await expect(page.locator("#lifting")).to_be_hidden()
        await page.locator("#filter").fill("at-once-")
        await expect(page.locator("#names a")).to_have_text(["at-once-0"])
        await page.goto(f"{system.operator_url}/#at-once-2")
        entry = page.locator("#attempts tr.entry").first
        await expect(entry.locator("q")).to_have_text("the attack is over")
        # Whoever comes to this screen next sees whom it was about no more.
        await page.locator("#log-out").click()
        await expect(page.locator("#overview")).to_be_visible()
        await expect(page.locator("#log-in")).to_be_visible()
        await expect(page.locator("#attempts tr.entry")).to_have_count(0)
        assert page.url == f"{system.operator_url}/"

    visit(system, scenario)


def test_what_cannot_be_lifted_is_named_and_stays_chosen(system: RunningSystem, visit: Visit):
    """Beside what was lifted already, and what was free by itself; it can be tried again."""
    came = [
        {"user": "in-part-1", "unblocked": True},
        {"user": "in-part-2", "unblocked": False, "error": "<b>No</b> verdict", "code": "gone"},
        {"user": "in-part-3", "unblocked": False, "error": "Not blocked", "code": "not_found"},
    ]
    answer = "".join(f"{json.dumps(line)}\n" for line in came)

    async def scenario(client: Client, page: Page) -> None:
        await page.goto(system.operator_url)
        await choose_all(client, page, "in-part-", 4)
        await page.route(
            "**/blocked",
            lambda route: route.fulfill(body=answer, content_type="application/x-ndjson"),
        )
        await page.locator("#lift").click()
        await page.locator("#lifting-yes").click()
        await expect(page.locator("#lifting-done")).to_have_text(
            "1 of 3 accounts unblocked. 1 were not blocked any more. 1 failed."
        )
        await expect(page.locator("#lifting-failed li")).to_have_text(
            ["\u2068in-part-2\u2069: <b>No</b> verdict"]
        )
        await page.unroute("**/blocked")
        await page.locator("#lifting-yes").click()
        await expect(page.locator("#lifting")).to_be_hidden()
        await expect(page.locator("#names a")).to_have_text(["in-part-3", "in-part-1", "in-part-0"])

    visit(system, scenario)


def test_the_list_stands_still_while_accounts_are_chosen(system: RunningSystem, visit: Visit):
    """Also while one of them is unblocked by itself, and another one is blocked."""

    async def scenario(client: Client, page: Page) -> None:
        rows = page.locator("#names a")
        stand = ["standing-2", "standing-1", "standing-0"]
        await page.goto(system.operator_url)
        await choose_all(client, page, "standing-", 3)
        await rows.nth(1).click()
        await page.locator("#unblock").click()
        await page.locator("#confirm-yes").click()
        await expect(page.locator("#state")).to_have_text("Not blocked")
        await expect(page.locator("#confirm-yes")).to_be_enabled()  # whatever is looked at, was
        await expect(rows).to_have_text(stand)
        await page.goto(f"{system.operator_url}/#standing-9")
        await expect(page.locator("#user")).to_have_text("standing-9")
        await page.locator("#block").click()
        await page.locator("#block-reason").fill("an attack")
        await page.locator("#blocking-yes").click()
        await expect(page.locator("#state")).to_have_text("Blocked")
        await expect(page.locator("#blocking-yes")).to_be_enabled()
        await expect(rows).to_have_text(stand)
        await page.locator("#choose-none").click()
        await expect(rows).to_have_text(["standing-9", "standing-2", "standing-0"])

    visit(system, scenario)


def test_a_look_at_the_list_that_was_under_way_changes_nothing(system: RunningSystem, visit: Visit):
    """It was asked for before the first account was chosen, and its answer comes after that."""

    async def scenario(client: Client, page: Page) -> None:
        await page.goto(system.operator_url)
        await choose_all(client, page, "under-way-", 3)
        async with page.expect_response("**/blocked?*"):
            await page.locator("#choose-none").click()
        held: asyncio.Queue[Route] = asyncio.Queue()
        await page.route("**/blocked?*", held.put)
        await look_at_everything(page)
        route = await asyncio.wait_for(held.get(), 90)
        await page.locator("#choose-all").check()
        async with page.expect_response(lambda answer: answer.request == route.request) as late:
            await route.fulfill(json={"blocked": []})
        await taken_in(page, await late.value)
        await expect(page.locator("#names a")).to_have_text([f"under-way-{n}" for n in (2, 1, 0)])
        await page.unroute("**/blocked?*")

    visit(system, scenario)


async def ask_to_unblock(page: Page, user: str) -> None:
    """In the dialog, on this user's page."""
    await page.evaluate("user => { location.hash = user; }", user)
    await expect(page.locator("#user")).to_have_text(user)
    await page.locator("#unblock").click()
    await expect(page.locator("#confirm-title")).to_have_text(f"Unblock {user}?")


def test_an_answer_for_another_user_leaves_a_dialog_alone(system: RunningSystem, visit: Visit):
    """It is told all the same."""

    async def scenario(client: Client, page: Page) -> None:
        for user in ("slowly-unblocked", "then-unblocked"):
            await block(client, user)
        held: asyncio.Queue[Route] = asyncio.Queue()

        async def hold(route: Route) -> None:
            await (held.put(route) if route.request.method == "DELETE" else route.fallback())

        await page.goto(system.operator_url)
        await log_in(page)
        await page.route("**/blocked/slowly-unblocked", hold)
        await ask_to_unblock(page, "slowly-unblocked")
        await page.locator("#confirm-yes").click()
        slow = await asyncio.wait_for(held.get(), 90)
        await page.keyboard.press("Escape")
        await ask_to_unblock(page, "then-unblocked")
        await slow.fulfill(json={})
        said = page.locator("#said")
        await expect(said).to_have_text("\u2068slowly-unblocked\u2069 is unblocked.")
        await expect(page.locator("#confirm")).to_be_visible()
        await page.locator("#confirm-yes").click()
        await expect(said).to_have_text("\u2068then-unblocked\u2069 is unblocked.")

    visit(system, scenario)


def test_an_older_answer_does_not_take_back_what_is_shown(system: RunningSystem, visit: Visit):
    """It was asked for before the account was unblocked, and comes after that is shown."""

    async def scenario(client: Client, page: Page) -> None:
        await block(client, "overtaken")
        await page.goto(f"{system.operator_url}/#overtaken")
        state = page.locator("#state")
        await expect(state).to_have_text("Blocked")
        await log_in(page)
        held: list[Route] = []
        asked = asyncio.Event()

        async def hold_the_first(route: Route) -> None:
            if held:
                await route.fallback()
            else:
                held.append(route)
                asked.set()

        await page.route("**/blocked/overtaken", hold_the_first)
        await look_at_everything(page)
        await asyncio.wait_for(asked.wait(), 90)
        before = await held[0].fetch(timeout=90_000)
        await page.locator("#unblock").click()
        await page.locator("#confirm-yes").click()
        await expect(state).to_have_text("Not blocked")
        async with page.expect_response(lambda answer: answer.request == held[0].request) as late:
            await held[0].fulfill(response=before)
        await taken_in(page, await late.value)
        assert await state.text_content() == "Not blocked"

    visit(system, scenario)


def test_the_focus_stays_on_a_row_while_others_come(system: RunningSystem, visit: Visit):
    """So that an attack does not take it away every few seconds."""

    async def scenario(client: Client, page: Page) -> None:
        await block(client, "focused-1")
        await page.goto(system.operator_url)
        await page.locator("#filter").fill("focused-")
        rows = page.locator("#names a")
        await expect(rows).to_have_text(["focused-1"])
        await rows.focus()
        await block(client, "focused-2")
        await look_at_everything(page)
        await expect(rows).to_have_text(["focused-2", "focused-1"])
        await expect(rows.last).to_be_focused()

    visit(system, scenario)


def test_all_are_not_chosen_from_the_list_before_the_filter(system: RunningSystem, visit: Visit):
    """Its last answer comes after the first key and before the filtered list is asked for."""

    async def scenario(client: Client, page: Page) -> None:
        await block(client, "before-the-filter")
        await page.clock.install()
        await page.clock.pause_at(datetime.now() + timedelta(minutes=40))
        await page.goto(system.operator_url)
        rows = page.locator("#names a")
        await expect(rows.filter(has_text="before-the-filter")).to_be_visible()
        # The browser's clock is wrong, and what is left is by the gateway's.
        left = page.locator("#names li", has_text="before-the-filter").locator("span")
        await expect(left).to_have_text(re.compile(r"^for (29|30) min$"))
        held: asyncio.Queue[Route] = asyncio.Queue()
        await page.route("**/blocked?*", held.put)
        await look_at_everything(page)
        before = await asyncio.wait_for(held.get(), 90)
        await page.locator("#filter").fill("nobody has this")
        async with page.expect_response(lambda answer: answer.request == before.request) as late:
            await before.continue_()
        await (await late.value).finished()
        await page.clock.run_for(200)
        filtered = await asyncio.wait_for(held.get(), 90)
        await expect(page.locator("#choose-all")).to_be_disabled()
        await filtered.continue_()
        await page.unroute("**/blocked?*")
        await expect(rows).to_have_count(0)

    visit(system, scenario)


@pytest.mark.parametrize("line", ["no JSON\n", "7\n", '{"user": "torn-1", "unbl'])
def test_an_answer_that_cannot_be_read_is_told_as_such(
    system: RunningSystem, visit: Visit, line: str
):
    """The gateway is there, and what it said of the others counts."""
    good = f"{json.dumps({'user': 'torn-1', 'unblocked': True})}\n"
    torn = line if "torn" in line else line + good
    answer = good.replace("torn-1", "torn-2") + torn

    async def scenario(client: Client, page: Page) -> None:
        await page.goto(system.operator_url)
        await choose_all(client, page, "torn-", 4)
        await page.route(
            "**/blocked",
            lambda route: route.fulfill(body=answer, content_type="application/x-ndjson"),
        )
        await page.locator("#lift").click()
        await page.locator("#lifting-yes").click()
        told = 1 if torn is line else 2
        await expect(page.locator("#lifting-error")).to_have_text(
            "The gateway's answer to DELETE /blocked has lines that cannot be read."
            f" {told} of 3 accounts unblocked. A few more may be unblocked already."
        )
        await page.unroute("**/blocked")

    visit(system, scenario)


def test_an_operator_blocks_by_hand(system: RunningSystem, visit: Visit):
    """With a reason, for a time; it stands in the history with both, and can be made longer."""

    async def scenario(client: Client, page: Page) -> None:
        await client.register("by-hand", RIGHT)
        await page.goto(f"{system.operator_url}/#by-hand")
        await expect(page.locator("#state")).to_have_text("Not blocked")
        await page.locator("#block").click()
        await page.locator("#token").fill(OPERATOR_TOKEN)
        await page.locator("#login-yes").click()
        await expect(page.locator("#blocking-title")).to_have_text("Block by-hand?")
        await page.locator("#block-reason").fill("phone <b>stolen</b>")
        await page.locator("#block-for").select_option("a day")
        await page.locator("#blocking-yes").click()
        await expect(page.locator("#said")).to_have_text("\u2068by-hand\u2069 is blocked.")
        await expect(page.locator("#state")).to_have_text("Blocked")
        await expect(page.locator("#why")).to_have_text("by hand: phone <b>stolen</b>")
        await expect(page.locator("#until")).to_contain_text("(in 23 h)")
        entry = page.locator("#attempts tr.entry").first
        await expect(entry).to_contain_text("block by hand")
        await expect(entry.locator("q")).to_have_text("phone <b>stolen</b>")
        await expect(entry).to_contain_text("tests")
        assert (await client.login("by-hand", RIGHT)).status == 429
        await page.locator("#block").click()
        await expect(page.locator("#block-for")).to_have_value("3600")
        await page.locator("#block-reason").fill("the phone is gone")
        await page.locator("#block-for").select_option("as long as nobody lifts it")
        await page.locator("#blocking-yes").click()
        await expect(page.locator("#until")).to_have_text("an operator lifts it")
        await expect(page.locator("#unblock")).to_be_visible()
        await expect(page.locator("#block")).to_be_hidden()

    visit(system, scenario)


def test_the_page_says_as_whom_it_asks(system: RunningSystem, visit: Visit):
    """Also after a question without an answer, and where another tab has the cookie changed."""
    add_operator(system.database_url, "ben", "bens-token-of-the-tests", Role.OPERATE)

    async def scenario(_client: Client, page: Page) -> None:
        await page.goto(system.operator_url)
        await log_in(page)
        await page.route("**/operator", lambda route: route.fulfill(body="no JSON"))
        async with page.expect_response("**/operator"):
            await page.reload()
        await page.unroute("**/operator")
        who = page.locator("#operator-name")
        await expect(who).to_have_text("tests (administer)")
        for method, token, name in [
            ("POST", "bens-token-of-the-tests", "ben (operate)"),
            ("DELETE", None, ""),
        ]:
            await page.evaluate(
                """([method, token]) => fetch("/session", {
                  method,
                  headers: { "X-Cerrojo-Console": "1", "Content-Type": "application/json" },
                  body: token && JSON.stringify({ token }),
                })""",
                [method, token],
            )
            await expect(who).to_have_text(name)
        await expect(page.locator("#log-in")).to_be_visible()
        await expect(page.locator("#said")).to_contain_text("You are not logged in any more")
        # In a dialog it asks for a login, and keeps what was typed.
        await log_in(page)
        await page.goto(f"{system.operator_url}/#not.blocked.yet")
        await page.locator("#block").click()
        await page.locator("#block-reason").fill("a long story")
        await page.evaluate(
            """() => {
              const ask = window.fetch;
              const ended = '{"error": "This needs a token, in the header Authorization"}';
              window.fetch = (address, order) => {
                if (order.method !== "POST") return ask(address, order);
                window.fetch = ask;
                return Promise.resolve(new Response(ended, { status: 401 }));
              };
            }"""
        )
        await page.locator("#blocking-yes").click()
        await expect(page.locator("#login-error")).to_contain_text("Your login has ended.")
        await expect(page.locator("#blocking-error")).to_contain_text(
            "is not confirmed. This needs an operator's login: press “Log in…”."
        )
        await page.locator("#token").fill(OPERATOR_TOKEN)
        await page.keyboard.press("Enter")
        await expect(who).to_have_text("tests (administer)")
        await expect(page.locator("#login")).to_be_hidden()
        await page.locator("#blocking-yes").click()
        await expect(page.locator("#why")).to_have_text("by hand: a long story")

    visit(system, scenario)


def test_the_first_look_is_at_attacks_and_the_policy(system: RunningSystem, visit: Visit):
    """Who is refused most, and what blocks an account."""
    attack = {
        "known": True,
        "attack": True,
        "failed_accounts": 5_210,
        "succeeded_accounts": 31,
        "since": "2026-11-28T09:15:00.000Z",
        "sources": [{"source": "192.0.2.0/24", "refusals": 4_711, "error": 12}],
        "accounts": [{"user": LONGEST, "refusals": 903, "error": 0}],
    }

    async def scenario(client: Client, page: Page) -> None:
        await page.goto(system.operator_url)
        await expect(page.locator("#attack")).to_have_text("No attack")  # none counts from loopback
        await page.route("**/attacks?*", lambda route: route.fulfill(json=attack))
        await expect(page.locator("#attack")).to_have_text("An attack goes on")
        await expect(page.locator("#sources tbody tr")).to_have_text(["192.0.2.0/244,711"])
        known = attack | {"known": False, "attack": False}
        await page.route("**/attacks?*", lambda route: route.fulfill(json=known))
        await look_at_everything(page)
        await expect(page.locator("#attack")).to_contain_text("It is not known")
        for stale in ("#attack-counts", "#sources", "#accounts"):
            await expect(page.locator(stale)).to_be_hidden()
        await page.unroute("**/attacks?*")
        await page.route("**/attacks?*", lambda route: route.fulfill(json=attack))
        await look_at_everything(page)
        await page.locator("#accounts a", has_text=LONGEST).click()
        await expect(page.locator("#user")).to_have_text(LONGEST)
        await expect(page.locator("#overview")).to_be_hidden()
        await page.goto(f"{system.operator_url}/#")
        await expect(page.locator("#policy")).to_contain_text(
            "5 wrong passwords within 900 s block an account for 1,800 s"
        )
        await expect(page.locator("#policies tbody tr")).to_have_count(1)
        # The audit's retention takes the records of all changes away; the policy holds on.
        await page.route("**/policy/history?*", lambda route: route.fulfill(json={"policies": []}))
        await page.reload()
        await expect(page.locator("#policy")).to_contain_text("5 wrong passwords within 900 s")
        await expect(page.locator("#policies")).to_be_hidden()

    visit(system, scenario)


def test_figures_that_stand_still_say_so(system: RunningSystem, visit: Visit):
    """Also where each try to go on is answered, and ends at once; and until they move again."""

    async def scenario(_client: Client, page: Page) -> None:
        figures = ANSWERS[LiveFigures]["a second"]
        events = [f"data: {msgspec.json.encode(figures).decode()}\n\n"]
        ended = {"status": 200, "content_type": "text/event-stream"}
        await page.route(
            "**/live", lambda route: route.fulfill(**ended, body=events.pop() if events else "")
        )
        await page.goto(system.operator_url)
        # Logins whose passwords a service has checked count, too.
        await expect(page.locator("#live-results")).to_contain_text("3 accepted of services")
        rates = [*figures.logins.values(), *figures.service_attempts.values()]
        await expect(page.locator("#live-logins")).to_have_text(f"{sum(rates):,.0f}")
        await expect(page.locator("#live-error")).to_contain_text("stand still")
        await page.unroute("**/live")
        await expect(page.locator("#live")).to_be_visible()
        await expect(page.locator("#live-error")).to_be_hidden()
        # In a tab that nobody looks at the title tells of trouble, and of its end.
        await page.evaluate(
            "Object.defineProperty(document, 'hidden', { configurable: true, get: () => true })"
        )
        parts = {"postgres": "away"}
        await page.route("**/readyz", lambda route: route.fulfill(json={"parts": parts}))
        await look_at_everything(page)
        await expect(page).to_have_title("(!) Cerrojo")
        parts.clear()
        await look_at_everything(page)
        await expect(page).to_have_title("Cerrojo")

    visit(system, scenario)


def test_live_figures_move_when_logins_happen(system: RunningSystem, visit: Visit):
    """By themselves, without a question for each."""

    async def scenario(client: Client, page: Page) -> None:
        await page.goto(system.operator_url)
        await expect(page.locator("#live-workers")).to_have_text("heard of 2 of 2 partitions")
        ending = asyncio.Event()

        async def log_in() -> None:
            while not ending.is_set():
                assert (await client.login("live.nobody", WRONG)).status in (401, 429)

        logging_in = asyncio.ensure_future(log_in())
        try:
            await expect(page.locator("#live-results")).to_contain_text("blocked")
            await expect(page.locator("#live-logins")).not_to_have_text("0")
            await expect(page.locator("#live-login-time")).to_contain_text("99% within")
            await expect(page.locator("#live-line")).to_have_attribute("points", re.compile(" "))
        finally:
            ending.set()
            await logging_in
        await page.locator("summary", has_text="Partitions").click()
        rows = page.locator("#live-partitions tbody tr")
        await expect(rows).to_have_count(2)
        await expect(rows.filter(has_text=re.compile(r"\dheard"))).to_have_count(2)
        await page.goto(f"{system.operator_url}/#live.nobody")
        await expect(page.locator("#state")).to_have_text("Blocked")

    visit(system, scenario)


def test_what_operators_did_comes_newest_first(system: RunningSystem, visit: Visit):
    """Who, what, to whom and why; by pages, and with a way to the user.

    What was done once is one line, however many partitions have a record of it.
    """
    once = {"kind": "policy", "operator": "Cleo", "reason": "an attack", "user": None}
    records = [
        decided("2026-11-28T12:50:03.000Z", n, "accepted", **once, policy=policy, partition=n)
        for policy in (3, 2)
        for n in range(16)
    ]

    async def changes(route: Route) -> None:
        size = int(route.request.url.rpartition("limit=")[2])
        link = {"Link": '</attempts?operator=&after=x>; rel="next"'} if size < 32 else {}
        await route.fulfill(json={"attempts": records[:size]}, headers=link)

    async def scenario(client: Client, page: Page) -> None:
        path = "/blocked/seen.in.actions"
        for method, reason in [("POST", "<i>why</i>"), ("DELETE", "mistake")] * 11:
            answer = await client.operator(method, path, {"reason": reason})
            assert answer.status == 200
        await page.route(
            "**/attempts?operator=*",
            lambda route: route.continue_(url=route.request.url.replace("limit=100", "limit=20")),
        )
        await page.goto(system.operator_url)
        lines = page.locator("#actions tbody tr")
        await expect(lines).to_have_count(20)
        for number, words in enumerate(("unblock", "block by hand")):
            await expect(lines.nth(number)).to_contain_text(words)
            await expect(lines.nth(number)).to_contain_text("tests")
        await expect(lines.nth(1)).to_contain_text("<i>why</i>")
        # There is a way back also from a page that does not come.
        await page.route("**/attempts?operator=*&after=*", lambda route: route.fulfill(body="no"))
        await page.locator("#older").click()
        await expect(page.locator("#actions-error")).to_be_visible()
        await page.locator("#newest").click()
        await expect(page.locator("#actions-error")).to_be_hidden()
        await page.unroute("**/attempts?operator=*&after=*")
        await page.locator("#older").click()
        await expect(page.locator("#newest")).to_be_enabled()
        await expect(lines.nth(1)).to_contain_text("<i>why</i>")
        await page.locator("#newest").click()
        await expect(page.locator("#newest")).to_be_disabled()
        await lines.nth(1).get_by_role("link", name="seen.in.actions").click()
        await expect(page.locator("#user")).to_have_text("seen.in.actions")
        await page.unroute("**/attempts?operator=*")
        await page.route("**/attempts?operator=*", changes)
        await page.goto(f"{system.operator_url}/#")
        await expect(lines.first).to_contain_text("policy 3")
        await expect(lines).to_have_count(2)
        await expect(page.locator("#older")).to_be_disabled()

    visit(system, scenario)


def decided(at: str, number: int, verdict: str = "rejected", **more: object) -> dict[str, object]:
    """A decision as the operator port says it."""
    return {
        **{"at": at, "partition": 0, "generation": 1, "offset": number, "kind": "attempt"},
        **{"user": "long.ago", "outcome": "wrong", "verdict": verdict, "policy": 1},
        **{"source": "192.0.2.7", "user_agent": None, "id": f"{number:032}", "delayed_ms": 0},
        **{"device": None, "operator": None, "reason": None},
        **more,
    }


def test_a_history_is_a_timeline(system: RunningSystem, visit: Visit):
    """A heading for each day, and how long there was nothing; older entries by pages."""
    by = {"kind": "block", "operator": "Cleo", "reason": "a <b>bot</b>", "outcome": None}
    first = [
        decided("2026-11-28T12:50:03.000Z", 5, "accepted", **by),
        decided("2026-11-28T12:20:02.000Z", 4, "blocked", outcome=None),
        decided("2026-11-28T12:20:01.000Z", 3),
        decided("2026-11-25T12:20:00.000Z", 2),
    ]
    second = [decided("2026-11-24T12:00:00.000Z", 1)]

    async def scenario(client: Client, page: Page) -> None:
        async def answer(route: Route) -> None:
            older = "after=" in route.request.url
            link = {} if older else {"Link": '</attempts?user=long.ago&after=x>; rel="next"'}
            attempts = second if older else first
            await route.fulfill(json={"attempts": attempts, "next": None}, headers=link)

        await page.route("**/attempts?user=long.ago*", answer)
        await page.goto(f"{system.operator_url}/#long.ago")
        lines = page.locator("#attempts tbody tr")
        await expect(lines).to_have_count(8)
        assert [(await line.get_attribute("class") or "") for line in await lines.all()] == [
            *("day", "entry other", "pause", "entry bad blocked", "entry bad"),
            *("pause", "day", "entry bad"),
        ]
        days = [line.split(" ")[0] for line in await page.locator("tr.day").all_inner_texts()]
        assert days == ["2026-11-28", "2026-11-25"]
        await expect(page.locator("tr.pause").first).to_have_text("30 min without anything")
        await expect(page.locator("tr.entry q")).to_have_text(["a <b>bot</b>"])
        await page.route("**/attempts?*after=*", lambda route: route.fulfill(body="no"))
        await page.locator("#history-older").click()
        await expect(page.locator("#attempts-error")).to_be_visible()
        await page.locator("#history-newest").click()
        await expect(page.locator("#attempts-error")).to_be_hidden()
        await page.unroute("**/attempts?*after=*")
        await page.locator("#history-older").click()
        await expect(page.locator("tr.entry")).to_have_count(1)
        await expect(page.locator("#history-older")).to_be_disabled()
        await page.locator("#history-newest").click()
        await expect(page.locator("tr.entry")).to_have_count(4)

    visit(system, scenario)


async def tried(client: Client) -> dict[str, Any]:
    """What the policy that is tried would have decided, once anything is counted."""
    found: dict[str, Any] = (await client.operator("GET", "/policy")).body["tried"]["result"]
    return found


def test_a_policy_that_is_tried_is_shown(system: RunningSystem, visit: Visit):
    """With what is different about it, and what it would have decided by then."""
    said(system.env, "shadow", "begin", "threshold=3,window=60")

    async def scenario(client: Client, page: Page) -> None:
        await page.goto(system.operator_url)
        await expect(page.locator("#shadow-policy")).to_have_text("threshold 3, window_ms 60,000")
        for _ in range(4):
            assert (await client.login("console.tried", WRONG)).status == 401
        while not (found := await tried(client)) or found["attempts"] < 4:
            pass  # the relay looks every two seconds
        await page.reload()
        result = page.locator("#shadow-figures")
        await expect(page.locator("#shadow-state")).to_have_text(
            re.compile(r"^\d+ attempts until .+\.$")
        )
        await expect(result.locator("tbody tr")).to_have_count(3)
        shown = await result.locator("tbody tr").last.locator("td").all_inner_texts()
        now = (await tried(client))["shadow"]
        assert shown == ["by the one that is tried", *map(str, now.values())]
        assert (now["blocks"], now["guesses_saved"]) >= (1, 1)
        assert (await asyncio.to_thread(said, system.env, "shadow", "end")) is not None
        async with page.expect_response(lambda answer: answer.url.endswith("/policy")) as answered:
            await page.reload()
        await (await answered.value).finished()
        await expect(page.locator("#shadow")).to_be_hidden()

    visit(system, scenario)


def test_a_name_can_be_looked_up(system: RunningSystem, visit: Visit):
    """In whatever form it is typed, also where it is not blocked, or is no name at all."""

    async def scenario(client: Client, page: Page) -> None:
        await client.register("looked-up", RIGHT)
        assert (await client.login("looked-up", RIGHT)).status == 200
        await page.goto(system.operator_url)
        await page.keyboard.press("/")
        await page.keyboard.type("Looked-Up")
        await page.keyboard.press("Enter")
        await expect(page.locator("#state")).to_have_text("Not blocked")
        await expect(page.locator("#attempts tr.entry")).to_have_count(2)
        await expect(page.locator("#unblock")).to_be_hidden()

    visit(system, scenario)


@pytest.mark.slow
def test_the_documentation_lists_every_operation_and_tries_one_of_ours(
    system: RunningSystem, visit: Visit
):
    """By Swagger UI, which asks nobody else, and which our policy for pages hinders in nothing."""

    async def scenario(client: Client, page: Page) -> None:
        await page.goto(f"{system.operator_url}/docs")
        paths = (await client.operator("GET", "/openapi.json")).body["paths"]
        operations = sum(len(methods) for methods in paths.values())
        await expect(page.locator(".opblock")).to_have_count(operations)
        login = paths["/login"]["post"]["operationId"]
        theirs = page.locator(f"#operations-login-{login}")
        await theirs.locator(".opblock-summary-control").click()
        await expect(theirs.locator(".opblock-body")).to_contain_text("Wrong password")
        await expect(theirs.locator(".try-out__btn")).to_have_count(0)
        blocked = page.locator("#operations-operator-blocked_list_blocked")
        await blocked.locator(".opblock-summary-control").click()
        await blocked.get_by_role("button", name="Try it out").click()
        await blocked.get_by_role("button", name="Execute").click()
        answered = blocked.locator(".live-responses-table")
        await expect(answered.locator("tbody .response-col_status")).to_have_text("200")
        await expect(answered).to_contain_text("users-blocked")

    visit(system, scenario)


@pytest.mark.slow
def test_the_documentation_tries_all_operations_of_ours_and_no_others(
    system: RunningSystem, visit: Visit
):
    """Each that is opened costs over a second. A page of this port may not ask the login port."""

    async def scenario(client: Client, page: Page) -> None:
        await page.goto(f"{system.operator_url}/docs")
        paths = (await client.operator("GET", "/openapi.json")).body["paths"]
        operations = [each for methods in paths.values() for each in methods.values()]
        shown = page.locator(".opblock")
        await expect(shown).to_have_count(len(operations))
        for operation in await page.locator(".opblock-summary-control").all():
            await operation.click()
        ours = [each for each in operations if each["tags"] == ["operator"]]
        await expect(page.get_by_role("button", name="Try it out")).to_have_count(len(ours))

    visit(system, scenario)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_narrow_window_needs_no_scrolling_to_the_side(
    system: RunningSystem, visit: Visit, dark: bool
):
    """Wide tables scroll by themselves, in a region that the keyboard can reach."""

    async def scenario(client: Client, page: Page) -> None:
        await block(client, LONGEST.replace("<img", f"<{dark}"))
        order = {"reason": "why not " * 20}
        await client.operator("POST", f"/blocked/{64 * 'w'}", order)
        await page.emulate_media(color_scheme="dark" if dark else "light")
        await page.set_viewport_size({"width": 360, "height": 640})
        await page.goto(system.operator_url)
        for part in ("#live", "#actions", "#policies tr >> nth=1"):
            await expect(page.locator(part)).to_be_visible()
        await page.locator("#names a").first.click()
        await expect(page.locator("#attempts tr.entry").first).to_be_visible()
        for hash_ in ("", await page.evaluate("location.hash")):
            await page.evaluate("wanted => { location.hash = wanted; }", hash_)
            for part in ("html", "#list", "#detail", "header"):
                wide, shown = await page.locator(part).evaluate(
                    "each => [each.scrollWidth, each.clientWidth]"
                )
                assert wide <= shown, part
        back = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert back == ("rgb(18, 23, 26)" if dark else "rgb(246, 247, 247)")

    visit(system, scenario)


def test_the_keyboard_reaches_everything_and_all_of_it_has_a_name(
    system: RunningSystem, visit: Visit
):
    """In the order of the page, with a mark on what has the focus."""

    async def scenario(client: Client, page: Page) -> None:
        await client.operator("POST", "/blocked/by.keyboard", {"reason": "a test"})
        await page.goto(system.operator_url)
        for part in ("#live", "#actions", "#policies tr >> nth=1", "#names a >> nth=0"):
            await expect(page.locator(part)).to_be_visible()
        reached: list[str] = []
        while "API" not in reached:
            await page.keyboard.press("Tab")
            name, marked = await page.evaluate(
                """() => {
                  const at = document.activeElement;
                  const style = getComputedStyle(at);
                  return [at.id || at.textContent.trim(), style.outlineStyle !== "none"];
                }"""
            )
            assert marked, name
            reached.append(name)
            assert len(reached) < 1000, reached
        wanted = ["skip", "name", "log-in", "filter", "choose-all", "Partitions", "actions", "API"]
        assert [name for name in reached if name in wanted] == wanted
        # What a screen reader says of each thing that can be used.
        tree = await page.locator("body").aria_snapshot()
        kinds = "button|link|checkbox|searchbox|textbox|combobox|region|navigation|group|img"
        assert re.findall(rf"- (?:{kinds})(?: \[.*\])?:?$", tree, re.MULTILINE) == [], tree
        assert 'region "What operators did"' in tree

    visit(system, scenario)
