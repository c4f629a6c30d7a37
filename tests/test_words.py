"""Yes and no mean the same wherever they are written; and counts agree with their nouns."""

from __future__ import annotations

import pytest
from airflow.sdk.configuration import conf
from tests.conftest import Connections

from tfso_hypatos.exceptions import ConfigurationError, InvalidInput, InvoicingStopped
from tfso_hypatos.hooks.http_options import HttpOptions
from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.operators import stop_switch
from tfso_hypatos.operators.arguments import switched_on
from tfso_hypatos.words import FALSE_WORDS, TRUE_WORDS, counted, truth_of

SAID = [
    (written, meaning)
    for meaning, words in ((True, TRUE_WORDS), (False, FALSE_WORDS))
    for word in sorted(words)
    for written in (word, f" {word.upper()} ")
]


@pytest.mark.parametrize(("word", "meaning"), SAID)
def test_a_word_means_the_same_to_an_argument_a_connection_and_the_stop_switch(
    word: str, meaning: bool, connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert switched_on(word, "preview") is meaning
    connections.tfso(extra={"verify": word, "some_flag": word})
    settings = TfsoHook().settings
    assert settings.flag("some_flag", default=not meaning) is meaning
    assert HttpOptions.read(settings).verify is meaning
    monkeypatch.setattr(stop_switch, "_read", lambda _: word)
    if meaning:
        with pytest.raises(InvoicingStopped):
            stop_switch.StopSwitch("stop").check()
    else:
        stop_switch.StopSwitch("stop").check()


@pytest.mark.parametrize("value", ["", " ", "None", "null", "ja", "2", 2, 1.5, None])
def test_what_is_no_such_word_decides_nothing(value: object, connections: Connections) -> None:
    assert truth_of(value) is None
    with pytest.raises(InvalidInput, match="preview: true or false is needed"):
        switched_on(value, "preview")
    if value not in ("", None):
        connections.tfso(extra={"some_flag": value})
        with pytest.raises(ConfigurationError, match=r"some_flag.* must be true or false"):
            TfsoHook().settings.flag("some_flag", default=True)


@pytest.mark.parametrize(
    ("value", "stops"), [("", False), (" None ", False), ("NULL", False), ("ja", True), ("2", True)]
)
def test_only_the_stop_switch_takes_nothing_for_no_and_anything_for_yes(
    value: str, stops: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop_switch, "_read", lambda _: value)
    if stops:
        with pytest.raises(InvoicingStopped):
            stop_switch.StopSwitch("stop").check()
    else:
        stop_switch.StopSwitch("stop").check()


@pytest.mark.parametrize(("value", "meaning"), [(True, True), (False, False), (1, True), (0, False)])
def test_what_is_no_text_is_understood_too(value: object, meaning: bool) -> None:
    assert truth_of(value) is meaning


@pytest.mark.parametrize("word", ["true", "t", "1", "false", "f", "0"])
def test_what_airflow_takes_for_true_or_false_in_its_own_settings_is_taken(
    word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__WEBSERVER__SOME_FLAG", word)
    assert truth_of(word) is conf.getboolean("webserver", "some_flag")


@pytest.mark.parametrize(("count", "text"), [(0, "0 orders"), (1, "1 order"), (2, "2 orders"), (1000, "1000 orders")])
def test_a_noun_agrees_with_its_count(count: int, text: str) -> None:
    assert counted(count, "order") == text
