"""Whatever order news arrives in, a copy never goes back, forgets nothing and brings nothing back that is gone."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_server import Answer, ScriptedServer, says, serving

from canary.kube.client import Listing
from canary.kube.copies import Copies, Copy
from canary.kube.resources import DEPLOYMENTS, Document, is_older
from canary.model.spec import ObjectKey

KEY = ObjectKey("shop", "a")


def document(version: int | str, name: str = "a") -> Document:
    return {
        "kind": "Deployment",
        "metadata": {"namespace": "shop", "name": name, "resourceVersion": str(version), "managedFields": [{}]},
        "spec": {"replicas": version},
    }


def page(version: str, *documents: Document) -> Listing:
    return Listing(items=documents, version=version)


def version_of(copy: Copy, key: ObjectKey = KEY) -> str | None:
    found = copy.get(key)
    return None if found is None else found["metadata"]["resourceVersion"]


@pytest.fixture
def told() -> list[str | None]:
    return []


@pytest.fixture
def copy(told: list[str | None]) -> Copy:
    made = Copy(DEPLOYMENTS)
    made.listen(lambda _key, found: told.append(None if found is None else found["metadata"]["resourceVersion"]))
    return made


@given(st.permutations(range(8, 13)), st.data())
def test_in_any_order_the_newest_stays_and_each_step_forward_is_told_once(
    order: list[int], data: st.DataObject
) -> None:
    heard: list[int] = []
    copy = Copy(DEPLOYMENTS)
    copy.listen(lambda _key, found: heard.append(int(found["metadata"]["resourceVersion"]) if found else -1))
    copy.learn(KEY, document(7))
    for version in order:
        take = data.draw(st.sampled_from([copy.learn, copy.refresh]))
        take(KEY, document(version))
        take(KEY, document(version))
    assert version_of(copy) == "12"
    assert heard == sorted(set(heard))


def test_versions_are_compared_as_numbers_and_what_is_none_is_not_older() -> None:
    assert is_older("9", "10")
    assert not is_older("10", "9")
    assert not is_older("10", "10")
    assert not is_older("abc", "10")
    assert not is_older("9", "abc")


def test_an_answer_that_was_under_way_while_its_object_was_deleted_does_not_bring_it_back(
    copy: Copy, told: list[str | None]
) -> None:
    copy.learn(KEY, document(7))
    copy.remove(KEY, "9")
    copy.refresh(KEY, document(8))
    assert version_of(copy) is None
    assert told == ["7", None]


def test_an_object_that_was_made_anew_outlives_the_late_news_of_the_old_ones_end(copy: Copy) -> None:
    copy.learn(KEY, document(7))
    copy.learn(KEY, document(12))
    copy.remove(KEY, "9")
    assert version_of(copy) == "12"


def test_a_list_takes_back_nothing_that_was_learned_while_it_was_made(copy: Copy) -> None:
    copy.learn(KEY, document(7))
    before = copy.newest
    copy.refresh(KEY, document(12))
    copy.replace([page("10", document(9)), page("10", document(8, "b"))], after=before)
    assert version_of(copy) == "12"
    assert version_of(copy, ObjectKey("shop", "b")) == "8"


def test_a_list_that_lacks_what_was_made_after_it_does_not_remove_it(copy: Copy) -> None:
    copy.learn(KEY, document(12))
    copy.replace([page("10")], after="9")
    assert version_of(copy) == "12"
    copy.replace([page("13")], after=copy.newest)
    assert version_of(copy) is None


def test_a_cluster_that_was_restored_from_a_backup_is_believed(copy: Copy, told: list[str | None]) -> None:
    copy.learn(KEY, document(70))
    copy.learn(ObjectKey("shop", "b"), document(71, "b"))
    copy.replace([page("40", document(30)), page("40")], after=copy.newest)
    assert version_of(copy) == "30"
    assert version_of(copy, ObjectKey("shop", "b")) is None
    copy.learn(KEY, document(41))
    assert told == ["70", "71", "30", None, "41"]


def test_who_owns_the_fields_is_not_kept_and_the_caller_may_change_what_it_gets(copy: Copy) -> None:
    given_ = document(7)
    copy.learn(KEY, given_)
    assert "managedFields" in given_["metadata"], "the caller's document is left alone"
    found = copy.get(KEY)
    assert found is not None
    assert "managedFields" not in found["metadata"]
    found["spec"]["replicas"] = 99
    assert copy.objects()[KEY]["spec"]["replicas"] == 7


def test_a_copy_is_current_from_its_first_list_until_its_watch_breaks(copy: Copy) -> None:
    def is_current_after(*happenings: Callable[[], object]) -> list[bool]:
        found = []
        for happens in happenings:
            happens()
            found.append(copy.current)
        return found

    lists = partial(copy.replace, [page("1")], after="")
    assert is_current_after(lists, copy.heard, copy.lost, copy.heard) == [False, True, False, True]


def test_a_copy_whose_watch_has_been_silent_for_too_long_is_not_current(
    copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy.replace([page("1")], after="")
    copy.heard()
    monkeypatch.setattr("canary.kube.copies.FRESH_FOR", timedelta())
    assert not copy.current


GET = "/apis/apps/v1/namespaces/shop/deployments/a"


def asked(server: ScriptedServer) -> list[str]:
    return [request.path for request in server.requests]


def test_only_what_no_current_copy_can_answer_is_asked_for() -> None:
    with serving(*[says(document(8))] * 4) as (server, client):
        copies = Copies(client, [DEPLOYMENTS])
        (copy,) = copies
        assert copies.get(DEPLOYMENTS, KEY) is not None
        assert asked(server) == [GET]
        copy.replace([page("7", document(7))], after="")
        copy.heard()
        found = copies.get(DEPLOYMENTS, KEY)
        assert found is not None
        assert found["spec"]["replicas"] == 7
        assert copies.get(DEPLOYMENTS, ObjectKey("shop", "absent")) is None
        assert asked(server) == [GET]
        copy.lost()
        copies.get(DEPLOYMENTS, KEY)
        assert asked(server) == [GET, GET]


def test_every_answer_to_whomever_makes_the_copy_newer_except_of_a_subresource() -> None:
    scale: Document = {"kind": "Scale", "metadata": {"namespace": "shop", "name": "a", "resourceVersion": "10"}}
    answers: list[Answer] = [says(document(8)), says(scale), says(document(11))]
    with serving(*answers) as (_, client):
        (copy,) = Copies(client, [DEPLOYMENTS])
        copy.replace([page("7", document(7))], after="")
        client.get(DEPLOYMENTS, KEY)
        assert version_of(copy) == "8"
        client.patch_merge(DEPLOYMENTS, KEY, {}, subresource="scale")
        assert version_of(copy) == "8"
        client.patch_merge(DEPLOYMENTS, KEY, {})
        assert version_of(copy) == "11"
