# A run that is over its deadline is cancelled, and failed for being too slow.
runs are held
push v1
v1 is failure in staging on stage-1
every job has ended with one run
GitHub has 1 runs
