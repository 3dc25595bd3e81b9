"""The panels of vidbench.widgets, a file for each kind."""
