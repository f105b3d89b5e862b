"""The controller may do what its releases need, and nothing else: everything it does, under the rights of deploy/.

The stories of the whole room run under these rights (`shop_fixtures`), so any call that is not granted fails a story.
Here a few of them, chosen because together they make every kind of call there is, are run once, and what the API server
recorded is compared with what is granted: the two must be equal. The controller in these stories is started, followed
and stopped as `canary run` does it, in threads of this process.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import requests
import yaml
from deployed_rights import ACCOUNT, HOME, ROLES, Request, Right, grant_rights, granted, requests_of, rights_documents
from gateway_shop import GatewayShop
from scripted_prometheus import running_prometheus
from shop import Shop, live_in_real_time
from shop_cluster import install_definitions
from shop_objects import CANARY, STABLE, analysis, virtual_service

from canary.bootstrap import build_controller
from canary.lab.apiserver import Apiserver, running_apiserver
from canary.settings import Settings

DEADLINE: Final = 60.0
DEPLOYED: Final = rights_documents()
EVERY_RIGHT: Final = sorted(granted(DEPLOYED))
TEN_MINUTES: Final = timedelta(minutes=10)


def wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < deadline, f"not within {DEADLINE} s: {what}"
        threading.Event().wait(0.05)


def release_again_and_again(shop: Shop) -> None:
    """A bad version, one that is aborted, one that is paused and meddled with, one that is promoted."""
    shop.opens()
    shop.ships("v2", failing=200)
    shop.runs_until("Failed")
    shop.ships("v3")
    shop.runs_until(lambda: shop.weight == 10)
    shop.annotates(abort=shop.revision)
    shop.runs_until("Failed")
    shop.ships("v4")
    shop.runs_until(lambda: shop.weight == 10)
    shop.specifies(paused=True)
    shop.weighs(70, 30)
    shop.ticks(2)
    shop.restarts()
    shop.specifies(paused=False)
    shop.runs_until("Succeeded")
    assert shop.runs(STABLE) == "v4"


def lose_and_find_the_virtual_service(shop: Shop) -> None:
    """The same fault twice within ten minutes, whose Event is counted and not told again; at last the Canary goes."""
    for _ in range(2):
        shop.removes("VirtualService", "order-service")
        shop.ticks(2)
        shop.makes(virtual_service(shop.namespace))
        shop.ticks(2)
    assert shop.times_told("VirtualServiceNotFound") == 2
    shop.removes("Canary", "order-service")
    shop.ticks()


def release_by_a_route(shop: GatewayShop) -> None:
    """As far as the first step: the route is read and its weights are moved."""
    shop.opens()
    shop.ships("v2")
    shop.runs_until(lambda: shop.weight == 10)


def live_through_a_release(server: Apiserver, shop: Shop) -> None:
    """Sharing, following watches, releasing a version, and leaving."""
    shop.opens(
        canary={"deployment": CANARY, "scaleDownDelay": "0s"},
        steps=[{"weight": 50, "hold": "0s"}],
        analysis=analysis(interval="1s", warmup="0s"),
    )
    shop.rate = 1000

    def is_in(phase: str) -> bool:
        shop.lets_pods_settle()
        return shop.phase == phase

    live_in_real_time(shop.prometheus, shop)
    settings = Settings(
        kubeconfig=server.accounts[ACCOUNT],
        controller_namespace=HOME,
        prometheus_url=shop.prometheus.url,
        prometheus_scrape_interval=timedelta(seconds=1),
        metrics_delay=timedelta(milliseconds=200),
        lease_retry=timedelta(milliseconds=300),
        listen_port=0,
    )
    controller, stop = build_controller(settings), threading.Event()
    thread = threading.Thread(target=controller.service.run, args=(stop,))
    with controller.web:
        thread.start()
        wait_until(lambda: is_in("Pending"), "the first tick")
        shop.ships("v2")
        wait_until(lambda: is_in("Succeeded"), "the promotion")
        wait_until(lambda: shop.told()[-1:] == ["Succeeded"], "the last Event")
        stop.set()
        thread.join(DEADLINE)


@pytest.fixture(scope="module")
def server() -> Iterator[Apiserver]:
    """An API server that grants the controller what deploy/ does."""
    with running_apiserver(accounts=[ACCOUNT]) as found:
        install_definitions(found.kubeconfig)
        grant_rights(found.kubeconfig)
        yield found


@pytest.fixture(scope="module")
def done(server: Apiserver) -> list[Request]:
    """Everything that the controller has asked for while the stories went on; none of it after this."""
    account = server.accounts[ACCOUNT]
    with running_prometheus() as prometheus:
        shop = Shop(server.kubeconfig, prometheus, account=account)
        release_again_and_again(shop)
        lose_and_find_the_virtual_service(shop)
        shop.closes()
        for kind in ("HTTPRoute", "GRPCRoute"):
            routed = GatewayShop(server.kubeconfig, prometheus, kind, account)
            release_by_a_route(routed)
            routed.closes()
        now = datetime.now(UTC).replace(microsecond=0)
        live = Shop(server.kubeconfig, prometheus, now - timedelta(seconds=10), account=account)
        live_through_a_release(server, live)
        live.closes()
    return list(requests_of(server.audit_log))


def used(requests: list[Request]) -> set[Right]:
    """The rights that were used, those of the controller's own namespace told apart."""
    own = {right[:2] for right in granted(DEPLOYED) if right.namespace}
    return {each.right._replace(namespace=each.namespace if each.right[:2] in own else "") for each in requests}


def test_nothing_that_the_controller_does_is_refused(done: list[Request]) -> None:
    assert len(done) > 100
    assert [each for each in done if not each.allowed] == []


def test_what_is_granted_is_what_is_used(done: list[Request]) -> None:
    assert set(EVERY_RIGHT) == used(done)
    assert max(Counter(EVERY_RIGHT).values()) == 1, "a right that two rules grant would outlive the removal of one"


def test_nothing_is_granted_by_a_wildcard() -> None:
    assert all("*" not in (right.group, right.resource, right.verb) for right in EVERY_RIGHT)
    rules = [rule for document in DEPLOYED if document["kind"] in ROLES for rule in document["rules"]]
    assert not any("nonResourceURLs" in rule for rule in rules)


def without(right: Right) -> list[dict[str, Any]]:
    """What is deployed, but for one verb of one resource."""
    documents = deepcopy([document for document in DEPLOYED if document["kind"] in ROLES])
    for role in documents:
        rules = [rule for rule in role["rules"] if right in granted([{**role, "rules": [rule]}])]
        for rule in rules:
            rule["verbs"].remove(right.verb)
            role["rules"] = [each for each in role["rules"] if each["verbs"]]
    assert set(EVERY_RIGHT) - set(granted(documents)) == {right}
    return documents


@pytest.mark.parametrize("right", EVERY_RIGHT, ids=str)
def test_removing_any_verb_is_noticed(right: Right, server: Apiserver, done: list[Request]) -> None:
    needing = next(each for each in done if used([each]) == {right})
    grant_rights(server.kubeconfig, without(right))
    try:
        assert used(done) - set(granted(without(right))) == {right}
        status, said = ask_again(server.accounts[ACCOUNT], needing)
        assert status == 403
        assert f'cannot {right.verb} resource "{right.resource}" in API group "{right.group}"' in said
    finally:
        grant_rights(server.kubeconfig, DEPLOYED)
    assert ask_again(server.accounts[ACCOUNT], needing)[0] != 403


METHODS: Final = {"create": "POST", "update": "PUT", "patch": "PATCH", "delete": "DELETE"}


def ask_again(kubeconfig: Path, request: Request) -> tuple[int, str]:
    """Status and message of a request that was made before; a write has no body, and what was deleted is gone."""
    config = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    address, token = config["clusters"][0]["cluster"]["server"], config["users"][0]["user"]["token"]
    query = {"watch": "true", "timeoutSeconds": "1"} if request.right.verb == "watch" else {}
    with requests.request(
        METHODS.get(request.right.verb, "GET"),
        address + request.uri,
        params=query,
        headers={"Authorization": f"Bearer {token}"},
        timeout=10,
        stream=True,
    ) as answer:
        return answer.status_code, answer.json()["message"] if answer.status_code >= 400 else ""
