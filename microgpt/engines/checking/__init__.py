"""The gradient check, and the search for the operation that is at fault.

slopes.py          the slope of a loss, measured without derivatives
chain_rule.py      the operation at which a gradient goes wrong
replay.py          the operation that made a loss infinite or NaN
gradient_check.py  check: measured slopes against gradients, engine by engine
"""
