from collections import Counter

import pytest

from dataset.photographs.splits import SplitError, assign, parse_shares

SHARES = {"train": 80.0, "val": 10.0, "test": 10.0}


def people(count, photographs=3):
    return {f"person {number}": photographs for number in range(count)}


def test_people_are_shared_out_by_seed_and_name_alone():
    split_of = assign(people(200), SHARES, {}, 0)
    assert Counter(split_of.values()) == {"train": 160, "val": 20, "test": 20}
    assert assign(dict(reversed(people(200).items())), SHARES, {}, 0) == split_of
    assert assign(people(200), SHARES, {}, 1) != split_of


def test_people_with_one_photograph_are_spread_like_the_others():
    mixed = people(100, 1) | {f"often {number}": 4 for number in range(100)}
    split_of = assign(mixed, SHARES, {}, 0)
    often = Counter(split for person, split in split_of.items() if person.startswith("often"))
    assert often == {"train": 80, "val": 10, "test": 10}


def test_six_people_are_enough_for_three_splits_and_five_are_not():
    assert Counter(assign(people(6), SHARES, {}, 0).values()) == {"train": 2, "val": 2, "test": 2}
    with pytest.raises(SplitError, match=r"5 people give 1 in train.*--split"):
        assign(people(5), SHARES, {}, 0)


def test_a_share_of_zero_leaves_a_split_out():
    split_of = assign(people(5), {"train": 3.0, "val": 2.0, "test": 0.0}, {}, 0)
    assert Counter(split_of.values()) == {"train": 3, "val": 2}


def test_a_split_with_chosen_people_holds_them_alone():
    chosen = {"person 1": "val", "person 2": "val", "somebody else": "test"}
    split_of = assign(people(100), {"train": 1.0, "val": 0.0, "test": 0.0}, chosen, 0)
    assert {person for person, split in split_of.items() if split == "val"} == {"person 1", "person 2"}
    assert set(split_of.values()) == {"train", "val"}
    shared = assign(people(100), SHARES, chosen, 0)
    assert Counter(shared.values())["val"] == 2 and 8 <= Counter(shared.values())["test"] <= 13


def test_one_chosen_person_is_too_few():
    with pytest.raises(SplitError, match="1 in val"):
        assign(people(100), SHARES, {"person 1": "val"}, 0)


@pytest.mark.parametrize("text", ["", "80,20", "a,b,c", "0,50,50", "80,-1,1", "inf,1,1", "nan,1,1"])
def test_shares_that_are_none_are_refused(text):
    with pytest.raises(SplitError, match="--split"):
        parse_shares(text)


def test_shares_are_three_numbers():
    assert parse_shares("80,10,10") == SHARES
    assert parse_shares("1 0 0")["train"] == 1
