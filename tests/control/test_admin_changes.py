"""Orders as pure functions: admin record and words in, admin record and answer out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.model.settings import Balancing, Origin, Proxy
from proxy.control.command import CommandError
from proxy.control.commands.admin_changes import (
    BY,
    change_address,
    change_state,
    change_weight,
)
from proxy.control.rows.observation import Observed
from proxy.ordered_values import OrderedValueError, weight_of
from proxy.server_table import configured_server
from shm.standing import Standing
from shm.states import HEALTH_NONE, AdminFlag, AdminState, ServerState, SlotState
from tests.support.control.site import ADMIN_NOTHING, a_server

FMAINT, CMAINT, FDRAIN = (
    int(flag) for flag in (AdminFlag.FMAINT, AdminFlag.CMAINT, AdminFlag.FDRAIN)
)


def observed(
    admin: AdminState = ADMIN_NOTHING, *, address: str | None = "127.78.4.1", weight: int = 10
) -> Observed:
    server = a_server("s1", "app.test", 80, balancing=Balancing(weight))
    proxy = Proxy("be", 2, "backend", Origin(), servers=(server,))
    slot = SlotState(7, 1, 4 if address else 0, address, 80, -1, 0 if address else 0x20, 4, 1000)
    in_force = admin.address is not None and admin.override_generation == slot.generation
    state = ServerState(
        7,
        1,
        weight if admin.weight < 0 else admin.weight,
        admin.address if in_force else address,
        admin.port if in_force and admin.port else 80,
        2,
        True,
        False,
        False,
        False,
    )
    standing = Standing(configured_server(server), slot, admin, HEALTH_NONE, state)
    return Observed(proxy, server, standing)


@pytest.mark.parametrize(
    ("flags", "word", "wanted"),
    [
        (0, "drain", FDRAIN),
        (0, "maint", FMAINT),
        (FMAINT, "drain", FDRAIN),
        (FDRAIN, "maint", FMAINT),
        (FMAINT | FDRAIN, "ready", 0),
        (CMAINT, "ready", 0),
        (CMAINT, "drain", FDRAIN),
    ],
)
def test_a_state_replaces_the_former(flags: int, word: str, wanted: int) -> None:
    change = change_state(ADMIN_NOTHING._replace(flags=flags), word, 5_000)
    returned = bool(flags & (FMAINT | CMAINT)) and not wanted & FMAINT
    assert change.record == ADMIN_NOTHING._replace(
        flags=wanted, changed_ms=5_000, returned=returned
    )


@pytest.mark.parametrize(
    ("flags", "word"), [(0, "ready"), (FMAINT, "maint"), (CMAINT, "maint"), (FDRAIN, "drain")]
)
def test_a_state_that_holds_already_changes_nothing(flags: int, word: str) -> None:
    assert change_state(ADMIN_NOTHING._replace(flags=flags), word, 5_000).record is None


def test_a_weight_is_absolute_or_a_percentage_of_the_configured_one() -> None:
    assert weight_of("0", 10) == 0
    assert weight_of("256", 10) == 256
    assert weight_of("50%", 10) == 5
    assert weight_of("99999%", 10) == 256
    assert weight_of("100%", 10) == -1


@pytest.mark.parametrize("text", ["257", "-1", "", "x", "1x", "1%%", "-1%", "9" * 5000])
def test_a_weight_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(OrderedValueError):
        weight_of(text, 10)


def test_a_static_balance_takes_only_all_or_nothing() -> None:
    assert weight_of("0%", 10, fixed=True) == 0
    assert weight_of("100%", 10, fixed=True) == -1
    with pytest.raises(OrderedValueError, match="only accepts weights"):
        weight_of("50%", 10, fixed=True)


@given(st.text(max_size=20))
def test_any_text_is_a_weight_or_an_error(text: str) -> None:
    try:
        assert -1 <= weight_of(text, 10) <= 256
    except OrderedValueError:
        return


def test_a_changed_weight_keeps_everything_else() -> None:
    admin = ADMIN_NOTHING._replace(flags=FDRAIN, changed_ms=9)
    change = change_weight(observed(admin), "3")
    assert change.record == admin._replace(weight=3)
    assert change_weight(observed(admin._replace(weight=3)), "3").record is None


def test_an_address_names_the_generation_that_it_replaces() -> None:
    change = change_address(observed(), ["127.78.4.9"])
    assert change.record == ADMIN_NOTHING._replace(address="127.78.4.9", override_generation=7)
    assert change.answer == "IP changed from '127.78.4.1' to '127.78.4.9' by 'stats socket command'"


def test_address_and_port_change_together_or_alone() -> None:
    both = change_address(observed(), ["::1", "port", "99"])
    assert both.record == ADMIN_NOTHING._replace(address="::1", port=99, override_generation=7)
    assert both.answer == (
        "IP changed from '127.78.4.1' to '::1', port changed from '80' to '99' "
        "by 'stats socket command'"
    )
    alone = change_address(observed(), ["127.78.4.1", "port", "99"])
    assert (
        alone.answer
        == "no need to change the addr, port changed from '80' to '99' by 'stats socket command'"
    )


def test_the_same_address_changes_nothing() -> None:
    addr, port, by = "no need to change the addr", "no need to change the port", BY
    assert change_address(observed(), ["127.78.4.1"]) == (None, f"{addr} {by}")
    assert change_address(observed(), ["127.78.4.1", "port", "80"]) == (
        None,
        f"{addr}, {port} {by}",
    )


def test_a_second_override_starts_from_the_first_and_going_back_ends_it() -> None:
    first = change_address(observed(), ["127.78.4.9", "port", "99"]).record
    assert first is not None
    second = change_address(observed(first), ["127.78.4.8"]).record
    assert second == first._replace(address="127.78.4.8")
    back = change_address(observed(first), ["127.78.4.1", "port", "80"]).record
    assert back == ADMIN_NOTHING


def test_an_override_that_dns_has_voided_is_replaced() -> None:
    stale = ADMIN_NOTHING._replace(address="127.78.4.9", port=99, override_generation=6)
    change = change_address(observed(stale), ["127.78.4.8"])
    assert change.record == ADMIN_NOTHING._replace(address="127.78.4.8", override_generation=7)


@pytest.mark.parametrize(
    "words",
    [[], ["nonsense"], ["fe80::1%lo"], ["127.78.4.9", "port"], ["127.78.4.9", "port", "0"],
     ["127.78.4.9", "port", "65536"], ["127.78.4.9", "port", "+5"], ["127.78.4.9", "port", "\u0663"]],
)  # fmt: skip
def test_an_address_that_is_none_is_refused(words: list[str]) -> None:
    with pytest.raises(CommandError):
        change_address(observed(), words)


def test_a_server_without_an_address_cannot_get_one() -> None:
    with pytest.raises(CommandError, match="address family"):
        change_address(observed(address=None), ["127.78.4.9"])
