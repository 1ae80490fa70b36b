from math import comb

import numpy as np
import pytest

from metrics.differences import mcnemar, paired_difference


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 0), (3, 3), (1, 9), (12, 2), (0, 20)])
def test_mcnemar_equals_the_binomial_sum(only_first, only_second):
    both = [True] * 30
    first = np.array(both + [True] * only_first + [False] * only_second)
    second = np.array(both + [False] * only_first + [True] * only_second)
    n, k = only_first + only_second, min(only_first, only_second)
    expected = min(1.0, 2 * sum(comb(n, i) for i in range(k + 1)) / 2**n)
    found = mcnemar(first, second)
    assert (found["only_system"], found["only_reference"]) == (only_first, only_second)
    assert found["p_value"] == pytest.approx(expected)


def test_equal_replicates_make_no_difference_and_apart_ones_a_small_p_value():
    same = np.linspace(0.4, 0.6, 200)
    assert paired_difference(0.5, 0.5, same, same)["p_value"] == 1.0
    apart = paired_difference(0.7, 0.5, same + 0.2, same)
    assert apart["p_value"] == pytest.approx(2 / 201)
    assert apart["interval"] == pytest.approx((0.2, 0.2))


def test_what_is_not_measurable_has_no_difference():
    assert paired_difference(None, 0.5, np.ones(3), np.ones(3)) is None
    assert paired_difference(0.5, 0.5, np.full(3, np.nan), np.ones(3)) is None
