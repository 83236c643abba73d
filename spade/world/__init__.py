"""The embedded world: procedural scenes whose relations follow from their layout."""
