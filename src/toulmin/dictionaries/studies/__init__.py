"""The studies of dictionaries: configurations that leave evidence. No torch at the top."""
