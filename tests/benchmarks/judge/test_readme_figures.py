"""README shows the figures that its command makes, to the last digit."""

import pytest
from readme_figures import BEGIN, END, README, figures, replaced


def test_the_figures_in_readme_are_those_of_this_judge() -> None:
    shown = README.read_text(encoding="utf-8")

    assert shown == replaced(shown, figures()), "stale: run `make figures`"


def test_a_readme_without_a_place_for_figures_is_refused() -> None:
    with pytest.raises(ValueError, match="no place for figures"):
        replaced("# canary\n", "a table")
    assert replaced(f"a\n{BEGIN}old\n{END}b\n", "new") == f"a\n{BEGIN}\nnew\n{END}b\n"
