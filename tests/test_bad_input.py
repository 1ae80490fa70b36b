import pytest

from benchmarks.bad_input import PAGE, kept_promise, table, try_cases
from benchmarks.bad_input_cases import CASES


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_page_of_bad_inputs_says_what_the_commands_say() -> None:
    outcomes = try_cases(CASES)
    assert [(case.what, outcome) for case, outcome in outcomes if not kept_promise(case, outcome)] == []
    page = PAGE.read_text(encoding="utf-8").splitlines()
    assert [row for row in table(outcomes) if row not in page] == []
