"""The figures of vidbench.visualize, a file for each kind."""
