"""Releases in routes that are more than two weights of requests: a third destination, a delegate, and connections."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from deployed_rights import ACCOUNT
from istio_shops import BrokerShop
from scripted_prometheus import ScriptedPrometheus
from shop import Shop
from shop_objects import SERVICE, STABLE, Document, virtual_service

from canary.lab.apiserver import Apiserver

pytest_plugins = ("shop_fixtures",)


class SharingShop(Shop):
    """A fifth of the requests goes to a third destination for good, and is counted for nobody."""

    def opens_beside(self, third: Document) -> None:
        self.opens()

        def add(http: list[Document]) -> None:
            http[1]["route"][0]["weight"] = 80
            http[1]["route"].append({"destination": third, "weight": 20})

        self.routes(add)

    @property
    def refs(self) -> tuple[int, int, int]:
        """All three weights."""
        stable, canary, third = (each["weight"] for each in self.sees("VirtualService")["spec"]["http"][1]["route"])
        return stable, canary, third

    @property
    def weight(self) -> int:
        """The canary's share of what the two versions get, in percent."""
        stable, canary, *_ = (int(each["weight"]) for each in self.sees("VirtualService")["spec"]["http"][1]["route"])
        return 100 * canary // (stable + canary)


@pytest.fixture
def sharing(apiserver: Apiserver, prometheus: ScriptedPrometheus) -> Iterator[SharingShop]:
    found = SharingShop(apiserver.kubeconfig, prometheus, account=apiserver.accounts[ACCOUNT])
    yield found
    found.closes()


@pytest.fixture
def broker(apiserver: Apiserver, prometheus: ScriptedPrometheus) -> Iterator[BrokerShop]:
    found = BrokerShop(apiserver.kubeconfig, prometheus, account=apiserver.accounts[ACCOUNT])
    yield found
    found.closes()


@pytest.mark.parametrize("third", [{"host": "legacy"}, {"host": SERVICE, "subset": "beta"}])
def test_a_third_destination_keeps_its_share_and_the_measured_one_is_that_of_the_two(
    sharing: SharingShop, third: Document
) -> None:
    sharing.opens_beside(third)
    sharing.ships("v2")
    seen, shares = [sharing.refs], set[float]()

    def there() -> bool:
        if sharing.refs != seen[-1]:
            seen.append(sharing.refs)
        if sharing.phase == "Progressing" and "settledAt" in sharing.status:
            shares.add(sharing.status["analysis"].get("share"))
        return sharing.phase == "Succeeded"

    sharing.runs_until(there)
    assert seen == [(80, 0, 20), (72, 8, 20), (40, 40, 20), (0, 80, 20), (80, 0, 20)]
    assert shares >= {0.1, 0.5}, "as asked, though a fifth of all goes elsewhere"
    assert sharing.status["analysis"]["judged"]["canary"]["requests"] > 0, "its spans were evidence"


def test_a_third_destination_that_appears_in_the_middle_takes_nothing_from_a_rollback(sharing: SharingShop) -> None:
    sharing.opens()
    sharing.ships("v2")
    sharing.runs_until(lambda: sharing.weight == 10)
    sharing.annotates(abort=sharing.revision)
    sharing.crashing.add(STABLE)
    sharing.ticks(2)
    assert sharing.phase == "RollingBack"
    sharing.routes(
        lambda http: http[1].update(
            route=[
                {**http[1]["route"][0], "weight": 79},
                {**http[1]["route"][1], "weight": 8},
                {"destination": {"host": "legacy"}, "weight": 13},
            ]
        )
    )
    sharing.crashing.clear()
    sharing.runs_until("Failed", within=timedelta(minutes=2))
    assert sharing.refs == (87, 0, 13)


def test_a_delegate_is_moved_where_it_is_named(shop: Shop) -> None:
    shop.opens()
    root = virtual_service(shop.namespace)
    root["metadata"]["name"] = "root"
    root["spec"] |= {"http": [{"name": "primary", "delegate": {"name": SERVICE}}], "gateways": ["edge"]}
    shop.makes(root)
    shop.specifies(traffic={"istio": {"virtualService": "root"}})
    shop.ships("v2")
    shop.ticks(2)
    status, reason, message = shop.condition("Valid")
    assert (status, reason) == ("False", "RouteDelegated")
    assert f"delegates to VirtualService {shop.namespace}/{SERVICE}; name that one" in message
    shop.specifies(traffic={"istio": {"virtualService": SERVICE}})
    shop.runs_until("Succeeded")


def test_connections_are_released_by_what_the_teams_own_query_says(broker: BrokerShop) -> None:
    broker.opens()
    broker.ships("v2")
    broker.runs_until("Succeeded", within=timedelta(hours=1))
    assert (broker.weights, broker.runs(STABLE)) == ((100, 0), "v2")
    assert "20% more is excluded" in str(broker.status["analysis"]["metrics"])


def test_a_version_whose_query_says_that_it_is_worse_is_taken_out(broker: BrokerShop) -> None:
    broker.opens()
    broker.lags(stable=40, canary=90)
    broker.ships("v2")
    broker.runs_until("Failed", within=timedelta(hours=1))
    assert (broker.weights, broker.runs(STABLE)) == ((100, 0), "v1")


def test_connections_of_which_nothing_is_known_hold_and_it_is_said_what_is_missing(broker: BrokerShop) -> None:
    broker.opens()
    broker.lags(stable=40, canary=None)
    broker.ships("v2")
    broker.runs_for(timedelta(minutes=20))
    assert (broker.phase, broker.weights, broker.verdict) == ("Progressing", (90, 10), "NODATA")
    assert "gave nothing; check its labels" in broker.message
    broker.lags(stable=40, canary=40)
    broker.runs_until("Succeeded", within=timedelta(hours=1))
