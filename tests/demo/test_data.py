import tomllib

import pytest

from genome.demo.data import DATA_SETS, data_set
from genome.errors import UsageError
from genome.settings import Settings


@pytest.mark.parametrize("name", sorted(DATA_SETS))
def test_the_settings_of_a_data_set_are_settings(name: str, settings: Settings) -> None:
    own = tomllib.loads(data_set(name).settings_file.read_text())
    assert own
    # Settings refuses a name it does not know, and a value that is not of its type.
    made = Settings(home=settings.home, **own)
    plain = {key: value for key, value in own.items() if key != "now"}
    assert {key: getattr(made, key) for key in plain} == plain


def test_data_that_is_not_there_is_refused_with_what_is() -> None:
    with pytest.raises(UsageError, match=r"--data moon is not known\. There is: complete-journey, mall"):
        data_set("moon")
