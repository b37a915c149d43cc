"""The studies of attacks: configurations that leave evidence. No torch at the top."""
