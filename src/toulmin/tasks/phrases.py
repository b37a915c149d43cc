"""Words and templates of the English tasks: names, places, years, arguments of functions, capitals, pronouns.

Each ``..._TEMPLATES`` are those of a task's split ``test``, on which published figures of this library rest; together
with ``MORE_..._TEMPLATES`` they are the split ``templates``, which has enough of them to resample.
"""

from __future__ import annotations

from collections.abc import Mapping


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NAMES = _words(
    "Mary John Tom James Dan Sid Martin Amy Sarah Paul Mark Laura Kate Anna Peter David Alice Emma Jack Henry Lisa "
    "Robert Simon Rachel Michael George Jane Susan Daniel Linda Andrew Karen Steven Helen Frank Julia Adam Claire"
)
PLACES = _words("store park school office garden station library market beach hospital restaurant museum")
THINGS = _words("drink book ring ball letter key gift basket map coat phone ticket")
IOI_TEMPLATES = (
    "When {p} and {q} went to the {place}, {s} gave a {thing} to",
    "After {p} and {q} left the {place}, {s} handed a {thing} to",
    "{p} and {q} spent the day at the {place}. Later, {s} passed a {thing} to",
    "While {p} and {q} waited near the {place}, {s} offered a {thing} to",
    "Once {p} met {q} by the {place}, {s} decided to give a {thing} to",
    "Then {p} had a long talk with {q}. At the {place}, {s} showed a {thing} to",
)
SPANS = _words("war siege voyage festival project strike reign contract drought journey trial exhibition")
YEAR_TEMPLATES = (
    "The {span} lasted from the year {century}{year} to the year {century}",
    "The {span} went on from {century}{year} until {century}",
    "They say the {span} began in {century}{year} and ended in {century}",
)
ARGUMENTS = _words(
    "name size path data file index label count value color model image query level width token table queue limit "
    "mode group order shape state user text time type node base"
)
WORDS = _words("first new main last current given local hidden public small large final raw whole input output")
CAPITALS: Mapping[str, str] = {
    "France": "Paris",
    "Germany": "Berlin",
    "Italy": "Rome",
    "Spain": "Madrid",
    "Japan": "Tokyo",
    "Russia": "Moscow",
    "China": "Beijing",
    "England": "London",
    "Egypt": "Cairo",
    "Austria": "Vienna",
    "Greece": "Athens",
    "Ireland": "Dublin",
    "Iraq": "Baghdad",
    "Syria": "Damascus",
    "Iran": "Tehran",
    "Cuba": "Havana",
    "Poland": "Warsaw",
    "Turkey": "Ankara",
    "Canada": "Ottawa",
    "Portugal": "Lisbon",
    "Norway": "Oslo",
    "Sweden": "Stockholm",
    "Ukraine": "Kiev",
    "Belgium": "Brussels",
    "Peru": "Lima",
    "Kenya": "Nairobi",
    "Thailand": "Bangkok",
    "Libya": "Tripoli",
    "Lebanon": "Beirut",
    "Hungary": "Budapest",
}
CAPITAL_TEMPLATES = (
    "The capital of {country} is the city of",
    "If you travel to the capital of {country}, you arrive in",
    "The government of {country} meets in its capital,",
)
MORE_IOI_TEMPLATES = (
    "When {p} and {q} arrived at the {place}, {s} offered a {thing} to",
    "As soon as {p} and {q} got back from the {place}, {s} gave a {thing} to",
    "{p} and {q} were working at the {place}. {s} decided to give a {thing} to",
    "Yesterday {p} and {q} had lunch at the {place}. Afterwards, {s} brought a {thing} to",
    "Friends since childhood, {p} and {q} often met at the {place}. Once {s} sold a {thing} to",
    "The {place} was closed when {p} and {q} arrived, so {s} showed a {thing} to",
    "After a long argument between {p} and {q} near the {place}, {s} threw a {thing} to",
    "Before {p} and {q} walked home from the {place}, {s} lent a {thing} to",
    "During the weekend {p} and {q} cleaned the {place}, and {s} handed a {thing} to",
    "The teacher saw {p} and {q} at the {place}, where {s} passed a {thing} to",
)
MORE_YEAR_TEMPLATES = (
    "The {span} started in {century}{year} and was over in {century}",
    "The {span} ran from the year {century}{year} to the year {century}",
    "The {span} opened in the year {century}{year} and closed in the year {century}",
    "The {span} was announced in {century}{year} and completed in {century}",
    "Historians date the {span} from {century}{year} to {century}",
    "A famous {span} took place between {century}{year} and {century}",
    "According to the records, the {span} lasted from {century}{year} until {century}",
    "The book describes the {span} from the year {century}{year} to the year {century}",
)
MORE_CAPITAL_TEMPLATES = (
    "The capital city of {country} is called",
    "The name of the capital of {country} is",
    "The embassy is in the capital of {country}, the city of",
    "The largest airport of {country} is in the capital,",
    "Every year tourists visit the capital of {country}, the beautiful city of",
    "The president of {country} lives in the capital,",
    "Q: What is the capital of {country}? A: The capital is",
    "In the atlas, the star on the map of {country} marks the capital,",
)
WOMEN = _words("Mary Amy Sarah Laura Kate Anna Alice Emma Lisa Rachel Jane Susan Linda Karen Helen Julia Claire")
MEN = _words(
    "John Tom James Dan Martin Paul Mark Peter David Jack Henry Robert Simon Michael George Daniel Andrew Steven Frank "
    "Adam"
)
PRONOUN_TEMPLATES = (
    "So {name} loves to go running, doesn't",
    "So {name} is a really good cook, isn't",
    "So {name} was at the meeting yesterday, wasn't",
    "{name} was late for work because",
    "{name} bought a new car, and now",
    "When {name} came home from the {place},",
    "Although {name} was tired,",
    "{name} went to the {place} since",
    "After the exam {name} called a friend, and then",
    "{name} lost the {thing} that",
    "If {name} wants a {thing},",
    "Because {name} forgot the {thing},",
)
