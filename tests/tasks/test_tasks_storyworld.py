"""storyworld: stories and their labels, the tokenizer, and what each task asks."""

from __future__ import annotations

import itertools
from collections import Counter
from types import SimpleNamespace

import pytest
import torch

from toulmin.faults import FaultError
from toulmin.tasks import Stories, find_task
from toulmin.tasks.story_tasks import story_task, story_tasks
from toulmin.tasks.storyworld import (
    HELD_OUT_NAMES,
    NAMES,
    ROLES,
    TOPICS,
    TRAIN_NAMES,
    encode_words,
    stories,
    story_tokenizer,
    story_vocabulary,
    write_story,
)
from toulmin.tasks.storyworld.grammar import parse_template, topic_of_word
from toulmin.tasks.storyworld.lexicon import HE, PRONOUNS, SHE, plural
from toulmin.tasks.storyworld.templates import TWO_NAME

VOCABULARY = story_vocabulary()


def words_of(ids) -> list[str]:
    return [VOCABULARY[i] for i in ids]


def test_the_vocabulary_is_fixed_and_has_no_doubles():
    assert len(VOCABULARY) == len(set(VOCABULARY)) == 571
    assert VOCABULARY[:2] == ("<bos>", "<unk>")
    assert len(NAMES) == len(set(NAMES)) == 64
    assert not set(HE) & set(SHE)
    by_topic = [{*t.places, *t.objects, *map(plural, t.objects), *t.verbs, *t.adjectives} for t in TOPICS]
    for a, b in itertools.combinations(by_topic, 2):
        assert not a & b
    assert all(topic_of_word(word) == i for i, words in enumerate(by_topic) for word in words)


def test_the_tokenizer_agrees_with_the_words_of_stories():
    tokenizer = story_tokenizer()
    for i in range(50):
        story = write_story(3, i, 60)
        ids = encode_words(story.words)
        assert tokenizer.encode(" ".join(story.words)).ids == ids
        assert words_of(ids) == list(story.words)
    assert tokenizer.encode("Mary found the rope, in 1932.").tokens == [
        "Mary",
        "found",
        "the",
        "rope",
        ",",
        "in",
        "19",
        "32",
        ".",
    ]
    assert tokenizer.encode("a zebra").ids[1] == 1


def test_a_story_is_a_function_of_seed_and_number():
    assert write_story(1, 7, 50) == write_story(1, 7, 50) != write_story(2, 7, 50)
    assert next(stories(1, 50, start=7)) == write_story(1, 7, 50)
    assert write_story(1, 7, 80).words[:50] == write_story(1, 7, 50).words
    # our own golden: the generator must not change under a trained model
    assert " ".join(write_story(20261122, 0, 24).words) == GOLDEN
    rows = Stories(40, seed=5).rows(0, 12)
    assert torch.equal(rows[4:9], Stories(40, seed=5).rows(4, 5))
    tokens, roles = Stories(40, seed=5).labelled(4, 5)
    assert torch.equal(tokens, rows[4:9])
    assert [ROLES[r] for r in roles[0]] == list(write_story(5, 4, 40).roles)


GOLDEN = "<bos> Grace put the banner in her bag . Anna had a crown and Grace had a banner . Anna said thanks to Grace"


def test_labels_are_the_truth():
    topics, own, other = Counter(), 0, 0
    for i in range(300):
        story = write_story(11, i, 64)
        assert len(story.words) == len(story.roles) == len(story.entities) == len(story.topics) == 64
        topics[story.topic] += 1
        owner = None
        for word, role, entity, topic in zip(story.words, story.roles, story.entities, story.topics, strict=True):
            assert role in ROLES
            assert topic == topic_of_word(word)
            if word in NAMES:
                assert story.people[entity] == word
            elif role == "pronoun":
                gender = story.people[entity] in SHE
                assert word in {forms[gender] for forms in PRONOUNS.values()}
            else:
                assert entity == -1
            if role == "subject":
                owner = entity
            if role == "pronoun":
                assert entity == owner or story.roles.count("object")
        if not {"bag", "wrote", "wants"} & set(story.words):  # lists name things of every topic
            own += sum(t == story.topic for t in story.topics)
            other += sum(t not in (-1, story.topic) for t in story.topics)
    assert set(topics) == set(range(len(TOPICS)))
    assert 0.95 < own / (own + other) < 0.995  # a stray word in about 33


def test_held_out_names_and_templates_never_meet_two_names_in_stories():
    held_out = {parse_template(t) for t in TWO_NAME["held_out"]}
    assert not held_out & {parse_template(t) for t in TWO_NAME["train"]}
    assert len(HELD_OUT_NAMES) == 16
    assert not set(HELD_OUT_NAMES) & set(TRAIN_NAMES)
    seen = set()
    for i in range(400):
        story = write_story(13, i, 64)
        for word, role in zip(story.words, story.roles, strict=True):
            if role in ("companion", "recipient"):
                assert word in TRAIN_NAMES
            elif word in HELD_OUT_NAMES:
                seen.add(word)
    assert seen == set(HELD_OUT_NAMES)


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_two_name_defeats_the_heuristics(split):
    pairs = story_task("two_name").generate(400, 21, split)
    wins = Counter()
    for pair in pairs:
        clean = words_of(pair.clean)
        names = [w for w in clean if w in NAMES]
        answer = VOCABULARY[pair.answers[0]]
        counts = Counter(names)
        assert sorted(counts.values()) == [1, 2]
        assert counts[answer] == 1
        assert words_of(pair.wrong) == [n for n, c in counts.items() if c == 2]
        pool = TRAIN_NAMES if split == "train" else HELD_OUT_NAMES
        assert set(names) <= set(pool)
        wins["first"] += names[0] == answer
        wins["second"] += names[1] == answer
        wins["last"] += names[-1] == answer
        wins["most recent of the first two"] += names[1] == answer
        wins["alphabet"] += min(counts) == answer
        wins["most frequent"] += counts.most_common(1)[0][0] == answer
        positions = pair.positions
        assert [clean[positions[k]] for k in ("p", "q", "s")] == names
        assert positions["end"] == pair.scored == len(clean) - 1
    assert max(wins.values()) <= 0.55 * len(pairs), wins
    assert wins["first"] == len(pairs) / 2


def test_counterfactuals_of_two_name():
    for pair in story_task("two_name").generate(60, 2):
        differ = [i for i in range(pair.length) if pair.clean[i] != pair.counterfactual[i]]
        assert differ == [pair.positions["s"]]
        assert pair.counterfactual[differ[0]] == pair.answers[0]
    for pair in story_task("two_name_abc").generate(60, 2):
        names = [w for w in words_of(pair.counterfactual) if w in NAMES]
        assert len(set(names)) == 3
        assert not set(names) & set(words_of([*pair.answers, *pair.wrong]))


def test_pronoun_follows_the_subject():
    pairs = story_task("pronoun").generate(200, 4)
    for pair in pairs:
        name, other = (VOCABULARY[p[pair.positions["a"]]] for p in (pair.clean, pair.counterfactual))
        assert words_of(pair.answers) == ["she" if name in SHE else "he"]
        assert words_of(pair.wrong) == ["she" if other in SHE else "he"]
    assert Counter(words_of(p.answers)[0] for p in pairs) == {"he": 100, "she": 100}
    # the other person of the prompt says nothing: as often of the same gender as not
    with_other = [p for p in pairs if "b" in p.positions]
    same = sum((VOCABULARY[p.clean[p.positions["b"]]] in SHE) == (words_of(p.answers) == ["she"]) for p in with_other)
    assert len(with_other) > 20
    assert 0.3 < same / len(with_other) < 0.7


def test_greater_than_answers_are_the_later_years():
    for pair in story_task("greater_than").generate(100, 4):
        year = int(VOCABULARY[pair.clean[pair.positions["y1"]]])
        assert [int(w) for w in words_of(pair.answers)] == list(range(year + 1, 100))
        assert [int(w) for w in words_of(pair.wrong)] == list(range(year + 1))
        assert VOCABULARY[pair.counterfactual[pair.positions["y1"]]] == "01"


def test_topic_pairs_name_two_topics():
    for pair in story_task("topic").generate(100, 4):
        for prompt, things in ((pair.clean, pair.answers), (pair.counterfactual, pair.wrong)):
            found = {topic_of_word(w) for w in words_of(prompt)} - {-1}
            assert len(found) == 1
            assert tuple(words_of(things)) == TOPICS[found.pop()].objects


def test_number_and_list_pairs():
    for pair in story_task("number").generate(50, 4):
        differ = [i for i in range(pair.length) if pair.clean[i] != pair.counterfactual[i]]
        assert differ == [pair.positions["there"]]
    for pair in story_task("list").generate(50, 4, "train"):
        clean = words_of(pair.clean)
        answer = VOCABULARY[pair.answers[0]]
        assert clean.count(answer) == 1
        assert clean[pair.positions["any3"]] == answer
        differ = [i for i in range(pair.length) if pair.clean[i] != pair.counterfactual[i]]
        assert differ == [pair.positions["any3"]]
        assert answer not in words_of(pair.wrong)


def test_tasks_are_functions_of_seed_and_all_splits_work():
    for name, task in story_tasks().items():
        assert task.splits == ("held_out", "train")
        for split in task.splits:
            pairs = task.generate(30, 1, split)
            assert pairs == task.generate(40, 1, split)[:30]
            assert pairs != task.generate(30, 2, split)
            assert all(p.clean[0] == 0 for p in pairs), name
            assert all(1 not in p.clean for p in pairs)  # no <unk>
    assert find_task("story.two_name").name == "two_name"
    induction = find_task("story.induction", None, length=20).generate(20, 0)
    assert all(min(p.clean[1:]) > 1 and p.length == 20 for p in induction)
    with pytest.raises(FaultError, match="the subject has 9"):
        find_task("story.two_name", SimpleNamespace(model=SimpleNamespace(config=SimpleNamespace(d_vocab=9))))
    with pytest.raises(FaultError, match="no task 'three_name'"):
        story_task("three_name")


def test_plurals():
    assert [plural(w) for w in ("leaf", "torch", "stone", "mush", "candy", "day")] == [
        "leaves",
        "torches",
        "stones",
        "mushes",
        "candies",
        "days",
    ]
