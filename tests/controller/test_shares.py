"""Every Canary has one owner that all replicas agree on, shares are even, and no more than necessary moves."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canary.controller.shares import Share, choose_owner
from canary.model.spec import ObjectKey

NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-.", min_size=1, max_size=12)
MEMBERS = st.lists(NAMES, min_size=1, max_size=8, unique=True)
KEYS = st.builds(ObjectKey, NAMES, NAMES)
FLEET = tuple(ObjectKey(f"team-{number % 17}", f"service-{number}") for number in range(4000))


@given(KEYS, MEMBERS, st.randoms(use_true_random=False))
def test_all_members_agree_on_an_owner_in_whatever_order_they_know_each_other(
    key: ObjectKey, members: list[str], dice: Random
) -> None:
    owner = choose_owner(key, members)
    shuffled = list(members)
    dice.shuffle(shuffled)
    assert owner in members
    assert choose_owner(key, shuffled) == owner


@given(KEYS, MEMBERS, NAMES)
def test_a_canary_moves_only_to_who_comes_and_from_who_goes(key: ObjectKey, members: list[str], other: str) -> None:
    before = choose_owner(key, [member for member in members if member != other] or [other])
    after = choose_owner(key, [*members, other])
    assert after in (before, other)


@given(KEYS, MEMBERS)
def test_exactly_one_member_owns_a_canary_and_none_while_it_must_not_work(key: ObjectKey, members: list[str]) -> None:
    knowing: list[str] = []
    shares = [Share(name=name, members=lambda: knowing, everyone=tuple, forget=lambda _key: None) for name in members]
    assert not any(share.owns(key) for share in shares)
    knowing.extend(members)
    assert sum(share.owns(key) for share in shares) == 1


@settings(max_examples=20)
@given(st.lists(NAMES, min_size=2, max_size=6, unique=True))
def test_shares_are_even(members: list[str]) -> None:
    """Within six standard deviations of a fair lot."""
    counts = Counter(choose_owner(key, members) for key in FLEET)
    fair, part = len(FLEET) / len(members), 1 / len(members)
    spread = (len(FLEET) * part * (1 - part)) ** 0.5
    assert all(abs(counts[member] - fair) < 6 * spread for member in members)


def test_owners_do_not_depend_on_the_process() -> None:
    """Two releases of the controller share a fleet during an update, so this may not change without thought."""
    members = ("canary-controller-a", "canary-controller-b", "canary-controller-c")
    assert [choose_owner(key, members)[-1] for key in FLEET[:12]] == list("cbcbabaaccaa")


def test_a_replica_counts_its_own() -> None:
    members = ("one", "other")
    shares = [Share(name=name, members=lambda: members, everyone=lambda: FLEET, forget=print) for name in members]
    assert sum(share.count() for share in shares) == len(FLEET)
    assert all(share.count() > len(FLEET) / 3 for share in shares)


def test_without_members_there_is_no_owner() -> None:
    with pytest.raises(ValueError, match="empty"):
        choose_owner(FLEET[0], ())
