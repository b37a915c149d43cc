"""Matches between players, as a study with distinct games and replays."""
