"""What everything passes around: vocabularies, scene graphs, maps of segments."""
