"""The gradient check, and the search for the operation at fault.

slopes.py          measure the slope of a loss, without derivatives
chain_rule.py      find the operation at which a gradient goes wrong
replay.py          find the operation that made a loss infinite or NaN
gradient_check.py  check: compare slopes with gradients, and engines with each other
"""
