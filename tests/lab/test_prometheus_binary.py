"""Prometheus is found where the user put it, else fetched into a cache, else missed in words that help."""

import os
from pathlib import Path

import pytest

from canary.lab.processes import LabError
from canary.lab.prometheus_binary import cache_directory, find_prometheus


def executable(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_the_variable_comes_first(tmp_path: Path) -> None:
    chosen = executable(tmp_path / "mine")
    on_path = executable(tmp_path / "bin" / "prometheus")
    assert find_prometheus({"PROMETHEUS_BIN": str(chosen), "PATH": str(on_path.parent)}) == chosen


def test_a_wrong_variable_is_an_error_and_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"PROMETHEUS_BIN is '/no/such/file'.*apt-get install prometheus"):
        find_prometheus({"PROMETHEUS_BIN": "/no/such/file", "PATH": str(tmp_path)})


def test_the_path_comes_before_the_cache(tmp_path: Path) -> None:
    on_path = executable(tmp_path / "bin" / "prometheus")
    executable(tmp_path / "cache" / "prometheus" / "usr" / "bin" / "prometheus")
    assert find_prometheus({"PATH": str(on_path.parent), "CANARY_CACHE_DIR": str(tmp_path / "cache")}) == on_path


def test_a_filled_cache_is_used(tmp_path: Path) -> None:
    cached = executable(tmp_path / "prometheus" / "usr" / "bin" / "prometheus")
    assert find_prometheus({"PATH": "", "CANARY_CACHE_DIR": str(tmp_path)}) == cached


def test_without_apt_the_message_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"no Prometheus: .* no apt-get or dpkg-deb.*set PROMETHEUS_BIN"):
        find_prometheus({"PATH": str(tmp_path), "CANARY_CACHE_DIR": str(tmp_path)})


APT_GET = """#!/bin/sh
case "$*" in
  *update*) touch "{root}/updated" ;;
  *download*) [ -e "{root}/updated" ] || {{ echo 'E: Unable to locate package prometheus' >&2; exit 100; }}
              touch prometheus_1.0_amd64.deb ;;
esac
"""
DPKG_DEB = """#!/bin/sh
mkdir -p "$3/usr/bin" && printf '#!/bin/sh\\n' > "$3/usr/bin/prometheus" && chmod +x "$3/usr/bin/prometheus"
"""


def test_an_empty_cache_is_filled_even_when_apt_has_no_lists(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    executable(tools / "apt-get", APT_GET.format(root=tmp_path))
    executable(tools / "dpkg-deb", DPKG_DEB)
    environment = {"PATH": f"{tools}:/usr/bin:/bin", "CANARY_CACHE_DIR": str(tmp_path / "cache")}
    found = find_prometheus(environment)
    assert found == tmp_path / "cache" / "prometheus" / "usr" / "bin" / "prometheus"
    assert os.access(found, os.X_OK)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["prometheus"]


def test_a_failing_download_says_why(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    executable(tools / "apt-get", "#!/bin/sh\necho 'E: no network' >&2; exit 100\n")
    executable(tools / "dpkg-deb")
    with pytest.raises(LabError, match=r"(?s)apt-get .*update` failed: E: no network.*set PROMETHEUS_BIN"):
        find_prometheus({"PATH": f"{tools}:/usr/bin:/bin", "CANARY_CACHE_DIR": str(tmp_path / "cache")})


def test_the_cache_of_a_checkout_lies_in_it(tmp_path: Path) -> None:
    assert cache_directory({}) == Path(__file__).parents[2] / ".cache"
    assert cache_directory({"CANARY_CACHE_DIR": str(tmp_path)}) == tmp_path
