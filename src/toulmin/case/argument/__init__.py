"""The argument: health, defeaters, freshness, confidence, and what the conclusion hinges on."""
