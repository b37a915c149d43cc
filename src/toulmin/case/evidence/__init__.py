"""From an evidence node to the records that answer it: criteria, lookup, default doubts, running."""
