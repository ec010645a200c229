"""The README stays what a reader takes in at once."""

from enrichment_pipeline_tests.docs.building import PROJECT

README = (PROJECT / "README.md").read_text(encoding="utf-8")


def test_the_readme_is_one_screen_and_a_half() -> None:
    assert len(README.splitlines()) <= 76


def test_the_readme_has_two_commands_a_timeline_and_an_event_to_send() -> None:
    for words in ("make demo\nmake test\n", "rage_click", "/capture/", "(docs/index.md)"):
        assert words in README
