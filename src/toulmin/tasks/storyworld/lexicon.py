"""The words of storyworld: everything a story can mention, and what belongs to which topic."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Topic:
    """What a kind of story is about: its places, objects, verbs and adjectives belong to no other topic."""

    name: str
    places: tuple[str, ...]
    objects: tuple[str, ...]
    verbs: tuple[str, ...]
    adjectives: tuple[str, ...]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _topic(name: str, places: str, objects: str, verbs: str, adjectives: str) -> Topic:
    return Topic(name, *map(_words, (places, objects, verbs, adjectives)))


TOPICS = (
    _topic(
        "forest",
        "glade stream cave hollow",
        "leaf acorn stick feather mushroom stone nest axe",
        "gathered hid followed spotted climbed",
        "mossy wild shady damp",
    ),
    _topic(
        "harbour",
        "dock lighthouse pier boathouse",
        "rope anchor sail net oar crab barrel shell",
        "moored hauled sailed repaired tied",
        "salty windy foggy rusty",
    ),
    _topic(
        "kitchen",
        "pantry stove cellar sink",
        "spoon bowl cake pot lemon cup plate pie",
        "baked stirred tasted washed peeled",
        "sweet hot burnt fresh",
    ),
    _topic(
        "school",
        "classroom hall gym playground",
        "pencil ruler map eraser globe crayon notebook desk",
        "drew erased copied learned studied",
        "clever noisy strict bright",
    ),
    _topic(
        "garden",
        "shed pond hedge greenhouse",
        "rose seed spade tulip bucket worm rake weed",
        "planted watered dug picked trimmed",
        "sunny green muddy tidy",
    ),
    _topic(
        "market",
        "stall square bakery fountain",
        "coin basket ribbon melon hat scarf apple carpet",
        "weighed traded priced wrapped carried",
        "busy cheap colourful crowded",
    ),
    _topic(
        "farm",
        "barn stable meadow well",
        "egg hen goat plough fence saddle pumpkin wagon",
        "fed milked chased herded brushed",
        "dusty sleepy hungry gentle",
    ),
    _topic(
        "castle",
        "tower dungeon courtyard gate",
        "sword shield crown banner torch throne helmet jewel",
        "guarded stole polished raised defended",
        "royal ancient gloomy brave",
    ),
    _topic(
        "station",
        "platform tunnel bridge waitingroom",
        "ticket suitcase whistle clock signal lantern engine parcel",
        "inspected loaded stopped pushed cleaned",
        "late loud fast smoky",
    ),
    _topic(
        "library",
        "attic archive balcony lobby",
        "book scroll poem lamp letter album candle diary",
        "read borrowed opened printed translated",
        "quiet rare secret thick",
    ),
)

HE = _words(
    "Adam Ben Carl David Eric Frank George Henry Ivan Jack Karl Leo Mark Nick Oscar Paul Ralph Sam Tom Victor Walter "
    "Xavier Yuri Zack Bruno Colin Dean Felix Hugo Ian Jonas Kurt"
)
SHE = _words(
    "Anna Beth Clara Diana Emma Fiona Grace Helen Iris Jane Kate Laura Mary Nora Olga Paula Rosa Sara Tina Vera Wendy "
    "Xenia Yvonne Zoe Bella Carol Donna Flora Heidi Ida Julia Karen"
)
NAMES = HE + SHE
#: names that never take part in a two-name sentence of the training split
HELD_OUT_NAMES = HE[-8:] + SHE[-8:]
TRAIN_NAMES = tuple(name for name in NAMES if name not in HELD_OUT_NAMES)

COUNTS = _words("two three four five six seven eight nine ten eleven twelve")
TWO_DIGITS = tuple(f"{n:02d}" for n in range(100))
CENTURIES = ("17", "18", "19")
EVENTS = _words("war feast storm strike journey fair siege drought festival race")
PRONOUNS = {"he": ("he", "she"), "his": ("his", "her"), "him": ("him", "her")}
SPECIAL = ("<bos>", "<unk>")
PUNCTUATION = (".", ",", ":")


def plural(noun: str) -> str:
    """leaf: leaves, torch: torches, candy: candies, stone: stones."""
    if noun == "leaf":
        return "leaves"
    if noun.endswith(("ch", "sh", "s", "x")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"
