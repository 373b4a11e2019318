from __future__ import annotations

import pytest

from sast_deploy.base.errors import DataError
from sast_deploy.data.options import FrameOptions


def test_defaults_are_the_recorded_ones():
    assert FrameOptions().to_dict() == {
        "steps": 10, "binning": "time", "encoding": "count", "clip": 4, "size": None, "duration_us": None,
    }


@pytest.mark.parametrize(
    "options",
    [FrameOptions(), FrameOptions(3, "count", encoding="binary", clip=1, size=(17, 34), duration_us=5)],
)
def test_from_dict_is_the_inverse_of_to_dict(options):
    assert FrameOptions.from_dict(options.to_dict()) == options


def test_size_from_json_is_a_tuple_again():
    assert FrameOptions.from_dict({"size": [4, 5]}).size == (4, 5)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"steps": 0}, "steps = 0; expected an integer from 1 to 10000"),
        ({"steps": 2.0}, "steps = 2.0"),
        ({"steps": True}, "steps = True"),
        ({"clip": 0}, "clip = 0; expected an integer from 1 to 255"),
        ({"clip": 256}, "clip = 256; expected an integer from 1 to 255"),
        ({"binning": "times"}, "binning = 'times'; expected time or count"),
        ({"encoding": "rate"}, "encoding = 'rate'; expected count or binary"),
        ({"encoding": "binary"}, "clip = 4 with encoding = binary; expected clip = 1"),
        ({"size": (0, 3)}, "size[0] = 0"),
        ({"size": (3,)}, "size = [3]; expected a list of 2 values"),
        ({"size": 48}, "size = 48"),
        ({"duration_us": 0}, "duration_us = 0"),
        ({"step": 3}, "unknown key step; expected steps"),
    ],
)
def test_bad_values_are_refused_with_value_and_limit(bad, message):
    with pytest.raises(DataError) as error:
        FrameOptions.from_dict(bad)
    assert message in str(error.value)
    assert str(error.value).startswith("frame options: ")
