"""Two healthy programs, each in one file. The clinic breaks them.

names.py    a GPT that learns names
points.py   a small network that tells two moons apart
"""
