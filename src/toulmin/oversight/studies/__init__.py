"""The studies of oversight: configurations that leave evidence. No torch at the top."""
