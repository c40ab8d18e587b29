"""docs/exit-codes.md has the ends and the exit codes that tests/e2e and tests/machine hold engines to."""

from tests.documents import SOURCE
from tests.e2e.lab.ends import DEPENDED_ON, ENDS, GOES_ON
from tests.packaging.test_documents import rows

PAGE = (SOURCE / "docs/exit-codes.md").read_text()


def test_the_page_has_every_end_with_its_exit_code() -> None:
    codes = {name: GOES_ON if end.code is None else str(end.code) for name, end in ENDS.items()}
    tried = {name: code if name in DEPENDED_ON else "" for name, code in codes.items()}
    assert rows(PAGE) == [[name, code, code, tried[name], tried[name]] for name, code in codes.items()]
