"""The studies of circuits: configurations that leave evidence. No torch at the top."""
