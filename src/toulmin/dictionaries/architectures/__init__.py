"""The architectures of sparse dictionaries, behind one interface (:class:`Dictionary`)."""
