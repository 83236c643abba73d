"""Relations of labels and boxes on real PSG annotations."""
