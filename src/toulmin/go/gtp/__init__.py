"""The Go Text Protocol: client, server and the text format."""
