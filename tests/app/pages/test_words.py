"""Numbers and names as people read them."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.pages import words


@pytest.mark.parametrize(
    ("seconds", "said"), [(None, "–"), (0.0, "0 s"), (89.0, "89 s"), (600.0, "10 min"), (9000.0, "2.5 h")]
)
def test_time_left(seconds: float | None, said: str) -> None:
    assert words.duration(seconds) == said


@given(st.floats(1e-3, 1e6), st.floats(1e-3, 1e6))
def test_a_column_shows_three_digits_of_its_smallest_number(one: float, other: float) -> None:
    shown = f"{min(one, other):.{words.decimals([one, other])}f}"
    assert float(shown) == pytest.approx(min(one, other), rel=0.006)


@given(st.floats(1e-9, 1e9))
def test_one_latency_is_read_back_within_a_permille_and_has_no_exponent_in_sight(ms: float) -> None:
    shown = words.milliseconds(ms)
    assert float(shown) == pytest.approx(ms, rel=0.051 if ms < 1e-4 else 0.001)
    assert ms < 1e-4 or "e" not in shown


@given(st.floats(1e-4, 1e15))
@example(9999.7)
@example(9999.4)
def test_energy_and_bytes_are_read_back_and_have_no_exponent(value: float) -> None:
    shown = words.amount(value)
    assert float(shown.replace(",", "")) == pytest.approx(value, rel=0.001) and "e" not in shown
    assert "e" not in words.milliseconds(value)


def test_a_limit_beside_latency_is_said_with_its_unit() -> None:
    assert words.limit_words({"profile": "p", "energy_mj": 0.7180415285760001}) == "0.718 mJ a batch"
    assert words.limit_words({"profile": "p", "weight_bytes": "30000.0"}) == "30,000 bytes of weights"
    assert words.limit_words({"profile": "p", "energy_mj": "much"}) == "much mJ a batch"
    assert words.limit_words({"profile": "p", "latency_ms": 3.0, "share": None}) == ""


def test_unknown_numbers_are_dashes_and_no_layer_is_dense() -> None:
    assert words.percent(None) == words.plus_minus(None, 0.1) == words.moment(None) == "–"
    assert words.plus_minus(0.975, None) == "97.5%"
    assert words.plus_minus(0.975, 0.0083) == "97.5 ± 0.8%"
    assert words.pattern_words({}) == "dense"
    assert words.pattern_words({"channel": 2, "nm": 1}) == "2 channel, 1 N:M"


def test_checks_are_words_or_short_numbers() -> None:
    assert [words.held(v) for v in (True, False, 128, 1.9073e-06)] == ["yes", "no", "128", "1.9e-06"]


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (2.113, 2.49, "(2.11–2.49)"),
        (950.4, 12345.6, "(950–12346)"),
        (None, 1.0, ""),
        (1.0, None, ""),
        (0.0, 1e-3, "(0–0.001)"),
    ],
)
def test_intervals_stand_in_brackets(low: float | None, high: float | None, said: str) -> None:
    assert words.interval(low, high) == said
