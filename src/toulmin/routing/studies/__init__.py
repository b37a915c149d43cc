"""The studies of routing: partitioned representations, unlearning, and learning under partial oversight."""
