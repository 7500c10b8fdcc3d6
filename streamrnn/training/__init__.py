"""Teaching a network on recordings, offline; the torch side of the house."""
