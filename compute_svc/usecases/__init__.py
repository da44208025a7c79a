"""The order of things on one host.

works       which command may work at an instance, and who follows it
work        one piece of work: claim, do, undo if it has to be, end
run         what a procedure has at hand: steps, write-ahead, time
start, stop, reboot, delete     the procedures
undoing     taking back what was done
watch       what a host tells of itself and its guests
"""
