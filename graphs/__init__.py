"""Reading graphs, one file each. Importing a graph file registers it."""
