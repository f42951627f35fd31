"""Brook and its peers, side by side: the same pages of the same world, under the same load."""
