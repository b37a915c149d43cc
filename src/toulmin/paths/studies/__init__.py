"""The studies of paths: configurations that leave evidence. No torch at the top."""
