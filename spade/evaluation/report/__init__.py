"""An evaluation as a page: tables, charts, and the best and worst images."""
