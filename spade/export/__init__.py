"""Scene graphs as files that people and other tools open."""
