"""Players: hard-coded, nets, searches and external engines, made from a spec."""
