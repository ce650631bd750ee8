import pytest

from candidates import InputError
from latency.adb import attached as module
from latency.adb.attached import Attached, aliases, choose

PIXEL4 = Attached("99191FFAZ001AB", "device", "Pixel 4", "flame")
PIXEL7 = Attached("28121FDH2000XY", "device", "Pixel 7 Pro", "cheetah")
LOCKED = Attached("R58M12ABCDE", "unauthorized")
LOST = Attached("192.168.1.7:5555", "offline")


@pytest.mark.parametrize("name", ["99191FFAZ001AB", "99191ffaz001ab", "flame", "FLAME", "pixel 4", "l 4"])
def test_a_phone_by_serial_device_name_or_part_of_its_model(name):
    assert choose(name, name, [PIXEL4, PIXEL7, LOCKED]) is PIXEL4


def test_an_exact_device_name_wins_over_a_part_of_a_model():
    other = Attached("x", "device", "flame clone", "clone")
    assert choose("flame", "flame", [other, PIXEL4]) is PIXEL4


@pytest.mark.parametrize(
    ("name", "there", "said"),
    [
        ("pixel", [], "attached: none"),
        ("nexus", [PIXEL4, LOCKED], r"Pixel 4 \(flame\), R58M12ABCDE \[unauthorized\]"),
        ("pixel", [PIXEL4, PIXEL7], "matches 2 phones.*99191FFAZ001AB.*28121FDH2000XY"),
        ("R58M12ABCDE", [PIXEL4, LOCKED], "unauthorised.*allow USB debugging"),
        ("pixel", [LOCKED], "unauthorised.*allow USB debugging"),
        ("192.168.1.7:5555", [LOST], "offline.*plug it in"),
        ("", [PIXEL4], "matches no attached"),
    ],
)
def test_what_cannot_be_chosen_is_explained(name, there, said):
    with pytest.raises(InputError, match=said):
        choose(name, name, there)


def write_config(text):
    folder = module.config_folder()
    folder.mkdir(parents=True)
    (folder / "devices.yaml").write_text(text)


def test_aliases_come_from_the_users_file(monkeypatch):
    assert aliases() == {}
    write_config("aliases:\n  Work: 28121FDH2000XY\n  board: 10.0.0.9:5555\n")
    assert aliases() == {"work": "28121FDH2000XY", "board": "10.0.0.9:5555"}
    asked = []
    monkeypatch.setattr(module, "attached", lambda addresses: asked.append(addresses) or [PIXEL4, PIXEL7])
    assert module.find("WORK") is PIXEL7
    with pytest.raises(InputError, match="board"):
        module.find("board")
    assert asked == [[], ["10.0.0.9:5555"]]


@pytest.mark.parametrize("text", ["aliases: [a]", "alias: {a: b}", "aliases: {a: 1}", "aliases: {a", "- a"])
def test_a_wrong_file_is_named(text):
    write_config(text)
    with pytest.raises(InputError, match=r"devices\.yaml"):
        aliases()


def test_auto_takes_the_one_phone_or_this_machine(monkeypatch):
    from latency import registry

    for there, chosen in (([], "cpu"), ([LOCKED], "cpu"), ([PIXEL4, LOCKED], PIXEL4.serial)):
        monkeypatch.setattr(module, "attached", lambda there=there: there)
        name, why = registry.automatic()
        assert name == chosen
        assert ("CPU" in why) == (chosen == "cpu")
    monkeypatch.setattr(module, "attached", lambda: [PIXEL4, PIXEL7])
    with pytest.raises(InputError, match="2 phones"):
        registry.automatic()
