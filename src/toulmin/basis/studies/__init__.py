"""The studies of the basis package: configurations that leave evidence. No torch at the top."""
