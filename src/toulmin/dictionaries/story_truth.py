"""The latent factors of storyworld, as labels of tokens: what is true of a story at each position.

Factors: the role of the present word, the role of the word that comes next, and the story's topic. They are known
because the stories are generated; a factor that holds on under 0.2% of the tokens is left out.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from toulmin.tasks import Stories
from toulmin.tasks.storyworld import ROLES, TOPICS, encode_words, write_story

RAREST = 0.002


def story_factors(source: Stories, n: int) -> tuple[Int[Tensor, "n T"], Bool[Tensor, "N G"], tuple[str, ...]]:
    """The first n rows of a source, the factors of each of their N = n T tokens, and the factors' names.

    The role of the next word is that of the story itself, one word longer than the row.
    """
    rows, now, later, topics = [], [], [], []
    place = {role: index for index, role in enumerate(ROLES)}
    for index in range(n):
        story = write_story(source.seed, index, source.length + 1, source.introduced)
        roles = [place[role] for role in story.roles]
        rows.append(encode_words(story.words[:-1]))
        now.append(roles[:-1])
        later.append(roles[1:])
        topics.append([story.topic] * source.length)
    present, following, topic = (torch.tensor(values).flatten() for values in (now, later, topics))
    names = [f"role: {role}" for role in ROLES] + [f"next: {role}" for role in ROLES]
    names += [f"topic: {topic.name}" for topic in TOPICS]
    columns = [present == index for index in range(len(ROLES))] + [following == index for index in range(len(ROLES))]
    columns += [topic == index for index in range(len(TOPICS))]
    labels = torch.stack(columns, 1)
    share = labels.double().mean(0)
    kept = torch.nonzero((share >= RAREST) & (share <= 0.5))[:, 0].tolist()
    return torch.tensor(rows), labels[:, kept], tuple(names[index] for index in kept)
