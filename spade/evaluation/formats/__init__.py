"""Files of predictions, of this project and of others: read, checked, written."""
