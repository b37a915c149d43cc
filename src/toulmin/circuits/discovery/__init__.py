"""Discovery: which edges matter for a task, one file a method."""
