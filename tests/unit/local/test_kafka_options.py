"""What is written for Kafka and its Java."""

from __future__ import annotations

from local.kafka_options import properties


def test_any_folder_can_be_named_to_java() -> None:
    """It takes a file of properties for ISO-8859-1, in which a backslash is special."""
    text = properties({"log.dirs": "/señal\\😀"}, 1)
    assert "log.dirs=/se\\u00f1al\\\\\\ud83d\\ude00\n" in text
