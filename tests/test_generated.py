"""A page keeps what people have written; what is made stands between the marks."""

from __future__ import annotations

from pathlib import Path

import pytest

from txstalecache.generated import replaced, rewrite

PAGE = """Title
.. begin of what is made from there; do not edit
old
.. end of what is made
The rest
"""


def test_only_what_is_between_the_marks_is_made_anew(tmp_path: Path) -> None:
    new = PAGE.replace("old", "new\n")
    assert replaced(PAGE, "there", "new\n") == new
    page = tmp_path / "page.rst"
    page.write_text(PAGE)
    rewrite(str(page), "there", "new\n")
    assert page.read_text() == new


@pytest.mark.parametrize("text", ["", PAGE.partition(".. end")[0], PAGE.replace("from there", "from elsewhere")])
def test_a_page_without_the_marks_is_left_alone(text: str) -> None:
    with pytest.raises(ValueError, match="no marks to put what is made from there between"):
        replaced(text, "there", "new")
