"""Stands in the way of matplotlib, for tests of scripts that need no picture: importing it takes half a second."""

raise ImportError("No module named 'matplotlib'")
