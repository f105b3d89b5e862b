"""Everything has a bound: the history of watches, the queue of a watcher, the pages that are remembered."""

import asyncio
import base64
import json

import pytest

from canary.lab.apiserver.cluster import Cluster
from canary.lab.apiserver.errors import ApiError
from canary.lab.apiserver.reads import ListQuery, list_page
from canary.lab.apiserver.store import MAX_SNAPSHOTS, WATCHER_QUEUE, Store

KEY = ("", "things")


def store_of(history: int) -> Store:
    store = Store(history)
    store.add_table(KEY)
    return store


def put(store: Store, name: str) -> int:
    return store.put(KEY, {"metadata": {"name": name, "uid": name}}).revision


def test_history_reaches_back_as_far_as_it_is_long() -> None:
    store = store_of(history=3)
    revisions = [put(store, "a") for _ in range(5)]
    _, missed = store.subscribe(KEY, revisions[1])
    assert [event.revision for event in missed] == revisions[2:]
    with pytest.raises(ApiError) as gone:
        store.subscribe(KEY, revisions[0])
    assert (gone.value.code, gone.value.reason) == (410, "Expired")


def test_watcher_that_does_not_read_is_closed_and_gets_nothing_more() -> None:
    store = store_of(history=1)
    watcher, _ = store.subscribe(KEY, store.revision)
    for _ in range(WATCHER_QUEUE):
        put(store, "a")
    open_before = not watcher.closed
    put(store, "a")
    assert (open_before, watcher.closed) == (True, True)
    assert asyncio.run(watcher.next_events(0)) == []


def test_waiting_watcher_wakes_for_an_event_and_times_out_without() -> None:
    async def watch() -> tuple[int, int]:
        store = store_of(history=10)
        watcher, _ = store.subscribe(KEY, store.revision)
        waiting = asyncio.create_task(watcher.next_events(10))
        await asyncio.sleep(0)
        put(store, "a")
        return len(await waiting), len(await watcher.next_events(0.001))

    assert asyncio.run(watch()) == (1, 0)


def test_forgotten_page_is_expired() -> None:
    store = store_of(history=1)
    for number in range(MAX_SNAPSHOTS + 1):
        store.keep_snapshot(str(number), [])
    assert store.snapshot("1") == []
    with pytest.raises(ApiError) as gone:
        store.snapshot("0")
    assert gone.value.code == 410


def test_dropped_table_closes_its_watchers() -> None:
    store = store_of(history=1)
    watcher, _ = store.subscribe(KEY, store.revision)
    store.drop_table(KEY)
    assert watcher.closed
    store.unsubscribe(KEY, watcher)


def test_continue_token_is_opaque_but_versioned() -> None:
    token = base64.urlsafe_b64encode(json.dumps({"v": "other"}).encode()).decode()

    cluster = Cluster()
    resource = cluster.catalogue.find("", "v1", "configmaps")
    with pytest.raises(ApiError) as refused:
        list_page(cluster, resource, "", ListQuery(page=token))
    assert refused.value.code == 400
