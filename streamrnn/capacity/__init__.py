"""How many live streams a daemon holds on this machine: the load, the daemons it is compared with, and the ladder."""
