"""The clinic: fifteen sick programs. One sees how each trains, says what is suspected, and mends it.

programs/     two healthy programs, each in one file
patients.py   what is wrong with each patient, what one would see, and what one might suspect
ward.py       runs a program, and observes it
chart.py      draws what was observed, for a terminal
visit.py      a visit to a patient: the findings, the question, the cure
"""
