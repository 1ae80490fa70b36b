import pytest

from pipeline.reporting.summary import main_system


@pytest.mark.parametrize(
    ("keys", "main"),
    [
        (["bicubic", "dsr", "dsr+adapted", "dsr+finetuned", "hr"], "dsr+finetuned"),
        (["bicubic", "dsr", "dsr+adapted", "hr"], "dsr+adapted"),
        (["bicubic", "adapted", "finetuned", "hr"], "finetuned"),
        (["hr"], "hr"),
    ],
)
def test_a_report_leads_with_what_was_made_rather_than_with_what_ships(keys, main):
    assert main_system({"systems": [{"key": key} for key in keys]}) == main
